import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.HdfsConfiguration;

/**
 * Creates, writes, closes, renames, appends to and deletes files of unique names until a byte comes
 * on standard input; prints a line per file. Any exception or wrong answer ends it with status 1.
 * At the end every file must be there with its content, and no other.
 */
public class FailoverWriter {
  private static final int THREADS = 4;
  private static final Path TOP = new Path("/failover");

  public static void main(String[] unused) throws Exception {
    FileSystem fs = FileSystem.get(new HdfsConfiguration());
    fs.mkdirs(TOP);
    AtomicBoolean over = new AtomicBoolean();
    AtomicInteger numbers = new AtomicInteger();
    Set<String> expected = new ConcurrentSkipListSet<>();
    Thread[] threads = new Thread[THREADS];
    for (int t = 0; t < THREADS; t++) {
      threads[t] = new Thread(() -> {
        while (!over.get()) {
          try {
            step(fs, numbers.incrementAndGet(), expected);
          } catch (Throwable e) {
            fail(e);
          }
        }
      });
      threads[t].start();
    }
    System.in.read();
    over.set(true);
    for (Thread thread : threads) {
      thread.join();
    }
    check(fs, expected);
    System.out.println("all " + expected.size() + " of " + numbers.get());
  }

  private static void step(FileSystem fs, int number, Set<String> expected) throws Exception {
    Path first = new Path(TOP, number + ".tmp");
    Path last = new Path(TOP, "" + number);
    try (FSDataOutputStream out = fs.create(first, false)) {
      out.write(content(number));
    }
    must(fs.rename(first, last), "rename " + first);
    if (number % 3 == 0) {
      must(fs.delete(last, false), "delete " + last);
    } else {
      if (number % 5 == 0) {
        try (FSDataOutputStream out = fs.append(last)) {
          out.write(content(number));
        }
      }
      expected.add(last.getName());
    }
    System.out.println(number);
  }

  private static byte[] content(int number) {
    return ("content of " + number + "\n").getBytes(StandardCharsets.UTF_8);
  }

  private static void check(FileSystem fs, Set<String> expected) throws Exception {
    Set<String> found = new ConcurrentSkipListSet<>();
    for (FileStatus status : fs.listStatus(TOP)) {
      found.add(status.getPath().getName());
    }
    must(found.equals(expected), "found " + found + ", expected " + expected);
    for (String name : expected) {
      int number = Integer.parseInt(name);
      byte[] once = content(number);
      byte[] data = new byte[number % 5 == 0 ? 2 * once.length : once.length];
      try (FSDataInputStream in = fs.open(new Path(TOP, name))) {
        in.readFully(data);
        must(in.read() < 0, name + " is longer");
      }
      for (int at = 0; at < data.length; at += once.length) {
        must(Arrays.equals(Arrays.copyOfRange(data, at, at + once.length), once), name);
      }
    }
  }

  private static void must(boolean holds, String what) {
    if (!holds) {
      throw new IllegalStateException(what);
    }
  }

  private static void fail(Throwable e) {
    e.printStackTrace();
    Runtime.getRuntime().halt(1);
  }
}

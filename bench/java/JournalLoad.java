import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.AccessibleObject;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.URI;
import java.util.Arrays;
import java.util.Locale;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.fs.permission.PermissionStatus;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.qjournal.client.QuorumJournalManager;
import org.apache.hadoop.hdfs.server.namenode.EditLogOutputStream;
import org.apache.hadoop.hdfs.server.namenode.FSEditLogOp;
import org.apache.hadoop.hdfs.server.protocol.NamespaceInfo;

/** The twin of bench/journal_writer.py on Hadoop's QuorumJournalManager: the same commands. */
public class JournalLoad {
  private static final int LAYOUT_VERSION = -67;
  private static final int SAMPLES_MAX = 1 << 20;

  private final PrintStream answers;
  private final NamespaceInfo namespace =
      new NamespaceInfo(4711, "CID-bench", "BP-1-127.0.0.1-1", 1700000000000L);
  private final QuorumJournalManager journal;
  private EditLogOutputStream stream;
  private long first;
  private long next;

  private JournalLoad(String uri, PrintStream answers) throws IOException {
    this.answers = answers;
    this.journal = new QuorumJournalManager(new HdfsConfiguration(), URI.create(uri), namespace, null);
  }

  public static void main(String[] words) throws Exception {
    PrintStream answers = System.out;
    System.setOut(System.err);
    String journals = String.join(";", Arrays.copyOfRange(words, 1, words.length));
    JournalLoad load = new JournalLoad("qjournal://" + journals + "/" + words[0], answers);
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      answers.println(load.run(line.trim().split(" ")));
      answers.flush();
    }
  }

  private String run(String[] words) throws Exception {
    switch (words[0]) {
      case "open":
        journal.format(namespace, true);
        journal.recoverUnfinalizedSegments();
        start(1);
        return "{}";
      case "roll":
        if (next == first) {
          write(1);
        }
        stream.close();
        journal.finalizeLogSegment(first, next - 1);
        start(next);
        return "{}";
      case "rate":
        return rate(Integer.parseInt(words[1]), Double.parseDouble(words[2]));
      default:
        throw new IllegalArgumentException("no command " + words[0]);
    }
  }

  private void start(long txid) throws IOException {
    first = next = txid;
    stream = journal.startLogSegment(txid, LAYOUT_VERSION);
  }

  /** All that wait are answered together and are back at once: the next flush takes all. */
  private String rate(int writers, double seconds) throws Exception {
    long[] took = new long[SAMPLES_MAX];
    int count = 0;
    long began = System.nanoTime();
    long end = began + (long) (seconds * 1e9);
    long now = began;
    while (now < end && count < SAMPLES_MAX) {
      long asked = now;
      write(writers);
      now = System.nanoTime();
      took[count++] = now - asked;
    }
    Arrays.sort(took, 0, count);
    return String.format(
        Locale.ROOT,
        "{\"per_second\": %f, \"count\": %d, \"p50_ms\": %f, \"p99_ms\": %f}",
        (double) count * writers / ((now - began) / 1e9),
        count,
        took[count / 2] / 1e6,
        took[(int) (count * 99L / 100)] / 1e6);
  }

  private void write(int count) throws Exception {
    for (int i = 0; i < count; i++) {
      stream.write(Mkdir.of(next++));
    }
    stream.setReadyToFlush();
    stream.flush();
  }

  /** The classes of transactions are their package's own. */
  private static final class Mkdir {
    private static final Constructor<?> NEW;
    private static final Field PATH;
    private static final Method SET_PERMISSIONS;
    private static final PermissionStatus PERMISSIONS =
        new PermissionStatus("hdfs", "supergroup", FsPermission.getDirDefault());

    static {
      try {
        Class<?> type = Class.forName(FSEditLogOp.class.getName() + "$MkdirOp");
        NEW = opened(type.getDeclaredConstructor());
        PATH = opened(type.getDeclaredField("path"));
        SET_PERMISSIONS =
            opened(type.getDeclaredMethod("setPermissionStatus", PermissionStatus.class));
      } catch (ReflectiveOperationException e) {
        throw new ExceptionInInitializerError(e);
      }
    }

    private static <T extends AccessibleObject> T opened(T member) {
      member.setAccessible(true);
      return member;
    }

    static FSEditLogOp of(long txid) throws ReflectiveOperationException {
      FSEditLogOp op = (FSEditLogOp) NEW.newInstance();
      PATH.set(op, "/bench/mkdirs/0/x1234");
      SET_PERMISSIONS.invoke(op, PERMISSIONS);
      op.setTransactionId(txid);
      return op;
    }
  }
}

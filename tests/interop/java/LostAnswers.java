import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.Map;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Options.Rename;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.XAttrSetFlag;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.HdfsConfiguration;

/**
 * One client that does what the lines of standard input say, field by field between tabs, and
 * answers each with a line: what the call returned, or the exception that it threw.
 */
public class LostAnswers {
  private final DistributedFileSystem fs;
  private final Map<String, FSDataOutputStream> open = new HashMap<>();

  private LostAnswers(DistributedFileSystem fs) {
    this.fs = fs;
  }

  public static void main(String[] unused) throws Exception {
    LostAnswers client =
        new LostAnswers((DistributedFileSystem) FileSystem.get(new HdfsConfiguration()));
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String answer;
      try {
        answer = String.valueOf(client.run(line.split("\t")));
      } catch (Throwable e) {
        answer = String.valueOf(e).replace('\n', ' ');
      }
      System.out.println(answer);
      System.out.flush();
    }
  }

  private Object run(String[] words) throws Exception {
    Path path = new Path(words[1]);
    switch (words[0]) {
      case "put":
        try (FSDataOutputStream out = fs.create(path, true)) {
          write(out, Integer.parseInt(words[2]));
        }
        return "done";
      case "create":
        open.put(words[1], fs.create(path, false));
        return "done";
      case "append":
        open.put(words[1], fs.append(path));
        return "done";
      case "close":
        try (FSDataOutputStream out = open.remove(words[1])) {
          write(out, Integer.parseInt(words[2]));
        }
        return "done";
      case "rename":
        return fs.rename(path, new Path(words[2]));
      case "rename2":
        fs.rename(path, new Path(words[2]), Rename.NONE);
        return "done";
      case "delete":
        return fs.delete(path, true);
      case "concat":
        fs.concat(path, new Path[] {new Path(words[2])});
        return "done";
      case "truncate":
        return fs.truncate(path, Long.parseLong(words[2]));
      case "setXAttr":
        fs.setXAttr(path, "user.color", new byte[] {1}, EnumSet.of(XAttrSetFlag.CREATE));
        return "done";
      case "removeXAttr":
        fs.removeXAttr(path, "user.color");
        return "done";
      case "allowSnapshot":
        fs.allowSnapshot(path);
        return "done";
      case "createSnapshot":
        return fs.createSnapshot(path, words[2]);
      case "renameSnapshot":
        fs.renameSnapshot(path, words[2], words[3]);
        return "done";
      case "deleteSnapshot":
        fs.deleteSnapshot(path, words[2]);
        return "done";
      case "isFileClosed":
        return fs.isFileClosed(path);
      case "exists":
        return fs.exists(path);
      case "length":
        return fs.getFileStatus(path).getLen();
      default:
        throw new IllegalArgumentException(words[0]);
    }
  }

  private static void write(FSDataOutputStream out, int count) throws Exception {
    byte[] data = new byte[count];
    Arrays.fill(data, (byte) 'x');
    out.write(data);
  }
}

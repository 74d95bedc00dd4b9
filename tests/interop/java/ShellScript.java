import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.PrivilegedExceptionAction;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.FsShell;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.tools.DFSAdmin;
import org.apache.hadoop.hdfs.tools.DFSHAAdmin;
import org.apache.hadoop.hdfs.tools.snapshot.LsSnapshot;
import org.apache.hadoop.hdfs.tools.snapshot.LsSnapshottableDir;
import org.apache.hadoop.hdfs.tools.snapshot.SnapshotDiff;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.util.Tool;
import org.apache.hadoop.util.ToolRunner;

/**
 * Runs many commands of Hadoop's shells in one JVM.
 * A line of standard input is: user, tool (dfs, dfsadmin, haadmin, ...), arguments; fields end with a tab.
 * A command's answer is: "exit CODE OUT_BYTES ERR_BYTES", a newline, both outputs.
 */
public class ShellScript {
  public static void main(String[] unused) throws Exception {
    PrintStream answers = System.out;
    Map<String, UserGroupInformation> users = new HashMap<>();
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] fields = line.split("\t", -1);
      UserGroupInformation user =
          users.computeIfAbsent(fields[0], UserGroupInformation::createRemoteUser);
      String[] arguments = Arrays.copyOfRange(fields, 2, fields.length - 1);
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      ByteArrayOutputStream err = new ByteArrayOutputStream();
      System.setOut(new PrintStream(out, true, "UTF-8"));
      System.setErr(new PrintStream(err, true, "UTF-8"));
      System.setIn(new ByteArrayInputStream("typed in\n".getBytes(StandardCharsets.UTF_8)));
      int code = user.doAs((PrivilegedExceptionAction<Integer>) () -> run(fields[1], arguments));
      System.out.flush();
      System.err.flush();
      answers.println("exit " + code + " " + out.size() + " " + err.size());
      out.writeTo(answers);
      err.writeTo(answers);
      answers.flush();
    }
  }

  private static Tool toolOf(String name, Configuration conf) {
    switch (name) {
      case "dfs":
        return new FsShell(conf);
      case "lsSnapshottableDir":
        return new LsSnapshottableDir();
      case "lsSnapshot":
        return new LsSnapshot();
      case "snapshotDiff":
        return new SnapshotDiff(conf);
      default:
        return new DFSAdmin(conf);
    }
  }

  private static int run(String name, String[] arguments) throws Exception {
    Configuration conf = new HdfsConfiguration();
    Tool tool;
    if (name.equals("haadmin")) {
      DFSHAAdmin admin = new DFSHAAdmin();
      admin.setConf(conf);
      tool = admin;
    } else {
      tool = toolOf(name, conf);
    }
    try {
      return ToolRunner.run(conf, tool, arguments);
    } catch (Throwable e) {
      System.err.println("thrown: " + e);
      return -1;
    } finally {
      // As at the end of a process: the next command is another client, of its own configuration.
      FileSystem.closeAll();
    }
  }
}

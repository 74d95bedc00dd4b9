import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.AccessibleObject;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.fs.permission.PermissionStatus;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.qjournal.client.QuorumJournalManager;
import org.apache.hadoop.hdfs.server.namenode.EditLogInputStream;
import org.apache.hadoop.hdfs.server.namenode.EditLogOutputStream;
import org.apache.hadoop.hdfs.server.namenode.FSEditLogOp;
import org.apache.hadoop.hdfs.server.protocol.NamespaceInfo;

/**
 * Drives Hadoop's QuorumJournalManager: one command per line, fields between tabs; one line back,
 * "ok" and fields or "error", class and message. The first line names the namespace:
 * namespace id, cluster id, block pool id, ctime.
 */
public class JournalDriver {
  private static final int LAYOUT_VERSION = -67;
  private final Map<String, QuorumJournalManager> journals = new HashMap<>();
  private final Map<String, EditLogOutputStream> open = new HashMap<>();
  private final Configuration conf = new HdfsConfiguration();
  private final PrintStream answers;
  private final NamespaceInfo namespace;

  private JournalDriver(String[] words, PrintStream answers) {
    this.namespace =
        new NamespaceInfo(Integer.parseInt(words[0]), words[1], words[2], Long.parseLong(words[3]));
    this.answers = answers;
  }

  public static void main(String[] unused) throws Exception {
    PrintStream answers = System.out;
    System.setOut(System.err);
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    JournalDriver driver = new JournalDriver(lines.readLine().split("\t"), answers);
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String answer;
      try {
        answer = "ok\t" + driver.run(line.split("\t"));
      } catch (Throwable e) {
        String told = String.valueOf(e.getMessage()).replaceAll("\\s+", " ");
        answer = "error\t" + e.getClass().getName() + "\t" + told;
      }
      driver.say(answer);
    }
  }

  private void say(String line) {
    answers.println(line);
    answers.flush();
  }

  private String run(String[] words) throws Exception {
    String name = words[1];
    if (words[0].equals("open")) {
      journals.put(name, new QuorumJournalManager(conf, URI.create(words[2]), namespace, null));
      return "";
    }
    QuorumJournalManager journal = journals.get(name);
    switch (words[0]) {
      case "format":
        journal.format(namespace, false);
        return "";
      case "has-data":
        return String.valueOf(journal.hasSomeData());
      case "recover":
        journal.recoverUnfinalizedSegments();
        return "";
      case "start":
        open.put(name, journal.startLogSegment(Long.parseLong(words[2]), LAYOUT_VERSION));
        return "";
      case "write":
        write(open.get(name), words[2], Long.parseLong(words[3]), Integer.parseInt(words[4]));
        return "";
      case "flood":
        flood(open.get(name), words[2], Long.parseLong(words[3]));
        return "";
      case "finalize":
        open.remove(name).close();
        journal.finalizeLogSegment(Long.parseLong(words[2]), Long.parseLong(words[3]));
        return "";
      case "purge":
        journal.purgeLogsOlderThan(Long.parseLong(words[2]));
        return "";
      case "discard":
        journal.discardSegments(Long.parseLong(words[2]));
        return "";
      case "ctime":
        return String.valueOf(journal.getJournalCTime());
      case "read":
        return read(journal, Long.parseLong(words[2]), words[3].equals("true"));
      case "close":
        // As a process that ends: nothing more is flushed, nothing finalized.
        if (open.containsKey(name)) {
          open.remove(name).abort();
        }
        journals.remove(name).close();
        return "";
      default:
        throw new IllegalArgumentException("no command " + words[0]);
    }
  }

  /** The classes of transactions are their package's own. */
  private static final class Mkdir {
    private static final Constructor<?> NEW;
    private static final Field PATH;
    private static final Method SET_PERMISSIONS;

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

    static FSEditLogOp of(String path, long txid) throws ReflectiveOperationException {
      FSEditLogOp op = (FSEditLogOp) NEW.newInstance();
      PATH.set(op, path);
      SET_PERMISSIONS.invoke(
          op, new PermissionStatus("hdfs", "supergroup", FsPermission.getDirDefault()));
      op.setTransactionId(txid);
      return op;
    }

    static String path(FSEditLogOp op) throws ReflectiveOperationException {
      return (String) PATH.get(op);
    }
  }

  private static void write(EditLogOutputStream stream, String tag, long first, int count)
      throws IOException, ReflectiveOperationException {
    for (long txid = first; txid < first + count; txid++) {
      stream.write(Mkdir.of("/" + tag + "/" + txid, txid));
    }
    stream.setReadyToFlush();
    stream.flush();
  }

  /** Transaction after transaction, each told when it is acknowledged, until we are killed. */
  private void flood(EditLogOutputStream stream, String tag, long first)
      throws IOException, ReflectiveOperationException {
    for (long txid = first; ; txid++) {
      write(stream, tag, txid, 1);
      say("acknowledged\t" + txid);
    }
  }

  /** TXID=PATH of every transaction that a standby would apply, in order. */
  private static String read(QuorumJournalManager journal, long first, boolean onlyDurable)
      throws IOException, ReflectiveOperationException {
    List<EditLogInputStream> streams = new ArrayList<>();
    journal.selectInputStreams(streams, first, true, onlyDurable);
    StringBuilder told = new StringBuilder();
    long next = first;
    for (EditLogInputStream stream : streams) {
      for (FSEditLogOp op = stream.readOp(); op != null; op = stream.readOp()) {
        // Streams overlap where a segment began before the transaction that was asked for.
        if (op.getTransactionId() >= next) {
          next = op.getTransactionId() + 1;
          told.append(op.getTransactionId()).append('=').append(Mkdir.path(op)).append('\t');
        }
      }
      stream.close();
    }
    return told.toString();
  }
}

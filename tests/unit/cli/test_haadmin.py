"""haadmin's words and codes; that they are Hadoop's is shown in tests/interop."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import (
    AccessControl,
    ConfigError,
    ConnectFailed,
    HealthCheckFailed,
    PeerError,
    ServiceFailed,
    Unsupported,
)
from hdfsd.base.ids import Address
from hdfsd.cli.haadmin import COMMANDS, HaAdmin, main
from hdfsd.failover.calls import RequestSource, ServiceStatus, WordService
from hdfsd.failover.policy import ServiceState

REFUSED = (
    "java.net.ConnectException: Connection refused; For more details see: "
    " http://wiki.apache.org/hadoop/ConnectionRefused"
)
PORTS = {8021: "nn1", 8022: "nn2"}


@dataclass
class NameNode:
    state: ServiceState
    error: Exception | None = None
    orders: list[tuple[str, RequestSource]] = field(default_factory=list)

    async def connect(self, *, deadline_ms: int) -> None:
        self._fail()

    async def status(self, *, deadline_ms: int) -> ServiceStatus:
        self._fail()
        return ServiceStatus(self.state, True, "")

    async def monitor_health(self, *, deadline_ms: int) -> None:
        self._fail()

    async def transition(
        self, state: ServiceState, source: RequestSource, *, deadline_ms: int
    ) -> None:
        self._fail()
        self.orders.append((state.name, source))
        self.state = state

    async def lost(self) -> None: ...

    async def close(self) -> None: ...

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class Zkfc:
    error: Exception | None = None
    asked: int = 0

    async def graceful_failover(self, *, deadline_ms: int) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error

    async def cede_active(self, millis: int, *, deadline_ms: int) -> None: ...

    async def close(self) -> None: ...


class Cluster:
    def __init__(self) -> None:
        self.nn1 = NameNode(ServiceState.ACTIVE)
        self.nn2 = NameNode(ServiceState.STANDBY)
        self.controller = Zkfc()
        self.zkfc_address: Address | None = None
        self.values = {
            "dfs.nameservices": "ns1",
            "dfs.ha.namenodes.ns1": "nn1,nn2",
            "dfs.namenode.rpc-address.ns1.nn1": "127.0.0.1:8021",
            "dfs.namenode.rpc-address.ns1.nn2": "127.0.0.1:8022",
            "dfs.ha.zkfc.port.ns1.nn2": "8032",
            "dfs.ha.fencing.methods": "shell(true)",
        }

    def ha_service(self, address: Address) -> NameNode:
        return {"nn1": self.nn1, "nn2": self.nn2}[PORTS[address.port]]

    def zkfc(self, address: Address) -> Zkfc:
        self.zkfc_address = address
        return self.controller

    def words(self, address: Address) -> WordService:
        raise AssertionError("no tool says words through this")

    def run(self, *words: str) -> int:
        conf = Configuration.parse([], self.values)
        return asyncio.run(HaAdmin(conf, self).run(words))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def automatic(cluster: Cluster) -> Cluster:
    cluster.values["dfs.ha.automatic-failover.enabled"] = "true"
    return cluster


Said = pytest.CaptureFixture[str]


def test_states(cluster: Cluster, capsys: Said) -> None:
    assert cluster.run("-getServiceState", "nn1") == 0
    cluster.nn1.error = ConnectFailed("127.0.0.1:8021: Connection refused")
    assert cluster.run("-getAllServiceState") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "active"
    assert lines[1].startswith(f"{'localhost:8021':<50} Failed to connect: Call From ")
    assert f"to localhost:8021 failed on connection exception: {REFUSED}" in lines[1]
    assert lines[2] == f"{'localhost:8022':<50} {'standby':<10}"


def test_health(cluster: Cluster, capsys: Said) -> None:
    assert cluster.run("-checkHealth", "nn1") == 0
    assert capsys.readouterr() == ("", "")
    cluster.nn1.error = HealthCheckFailed("no space left\n\tat java.lang")
    assert cluster.run("-checkHealth", "nn1") == 255
    assert capsys.readouterr().err == "Health check failed: no space left\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AccessControl("denied\n\tat java.lang.Thread"), "denied"),
        (PeerError("a frame of random bytes"), "a frame of random bytes"),
        (ServiceFailed("in safe mode"), "in safe mode"),
    ],
)
def test_errors_are_one_line(cluster: Cluster, capsys: Said, error: Exception, said: str) -> None:
    cluster.nn2.error = error
    assert cluster.run("-transitionToStandby", "nn2") == 255
    assert capsys.readouterr().err == f"Operation failed: {said}\n"


def test_transitions_by_hand(cluster: Cluster) -> None:
    assert cluster.run("-transitionToStandby", "nn1") == 0
    assert cluster.run("-transitionToActive", "nn2") == 0
    assert cluster.run("-transitionToObserver", "nn1") == 0
    assert cluster.nn1.orders == [("STANDBY", RequestSource.USER), ("OBSERVER", RequestSource.USER)]
    assert cluster.nn2.orders == [("ACTIVE", RequestSource.USER)]


def test_only_one_becomes_active_by_hand(cluster: Cluster, capsys: Said) -> None:
    assert cluster.run("-transitionToActive", "nn2") == 255
    assert "transitionToActive: Node nn1 is already active" in capsys.readouterr().err
    cluster.nn1.error = ConnectFailed("127.0.0.1:8021: Connection refused")
    assert cluster.run("-transitionToActive", "nn2") == 255
    assert "Unexpected error occurred  Call From" in capsys.readouterr().err
    assert cluster.nn2.orders == []
    assert cluster.run("-transitionToActive", "--forceactive", "nn2") == 0
    assert cluster.nn2.state is ServiceState.ACTIVE


def test_a_failed_transition_to_observer_is_told_its_own_way(
    cluster: Cluster, capsys: Said
) -> None:
    cluster.nn1.error = ServiceFailed("it is active")
    assert cluster.run("-transitionToObserver", "nn1") == 255
    assert capsys.readouterr().err == "transitionToObserver failed! it is active\n"


@pytest.mark.parametrize("command", ["Active", "Standby", "Observer"])
def test_controllers_are_not_overruled(automatic: Cluster, capsys: Said, command: str) -> None:
    assert automatic.run(f"-transitionTo{command}", "nn2") == 255
    said = capsys.readouterr().err
    assert said.startswith("Automatic failover is enabled for NameNode at /127.0.0.1:802")
    assert said.endswith("specify the --forcemanual flag.\n")
    assert automatic.nn2.orders == []


def test_unless_by_force(automatic: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert automatic.run("-transitionToStandby", "--forcemanual", "nn1") == 255
    assert "WILL CORRUPT your HDFS namespace" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert automatic.run("-transitionToStandby", "--forcemanual", "nn1") == 0
    assert automatic.nn1.orders == [("STANDBY", RequestSource.USER_FORCED)]


def test_failover_by_controllers(automatic: Cluster, capsys: Said) -> None:
    assert automatic.run("-failover", "nn1", "nn2") == 0
    assert (
        capsys.readouterr().out == "Failover to NameNode at localhost/127.0.0.1:8022 successful\n"
    )
    assert automatic.zkfc_address == Address("127.0.0.1", 8032)
    assert automatic.run("-failover", "--forcefence", "nn1", "nn2") == 255
    assert automatic.controller.asked == 1
    automatic.controller.error = ServiceFailed("not currently healthy\n\tat java")
    assert automatic.run("-failover", "nn1", "nn2") == 255
    assert "Failover failed: not currently healthy\n" in capsys.readouterr().err
    automatic.controller.error = Unsupported("no such thing")
    assert automatic.run("-failover", "nn1", "nn2") == 255
    assert "not supported with auto-failover enabled: no such" in capsys.readouterr().err


def test_failover_by_hand(cluster: Cluster, capsys: Said) -> None:
    assert cluster.run("-failover", "nn1", "nn2") == 0
    assert capsys.readouterr().out == "Failover from nn1 to nn2 successful\n"
    assert (cluster.nn1.state, cluster.nn2.state) == (ServiceState.STANDBY, ServiceState.ACTIVE)
    assert cluster.run("-failover", "nn1", "nn2") == 255
    assert capsys.readouterr().err == "Failover failed: Can't failover to an active service\n"
    del cluster.values["dfs.ha.fencing.methods"]
    assert cluster.run("-failover", "nn2", "nn1") == 255
    assert capsys.readouterr().err == "Illegal argument: failover requires a fencer\n"


def test_half_automatic(cluster: Cluster) -> None:
    cluster.values["dfs.ha.automatic-failover.enabled.ns1.nn2"] = "true"
    with pytest.raises(ConfigError, match="Inconsistent auto-failover configs"):
        cluster.run("-failover", "nn1", "nn2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Usage: haadmin"),
        (("foo",), "Bad command 'foo': expected command starting with '-'"),
        (("-foo",), "foo: Unknown command"),
        (("-ns",), "Missing nameservice ID"),
        (("-ns", "ns1"), "Missing command"),
        (("-help", "foo"), "-foo: Unknown command"),
        (("-getServiceState",), "getServiceState: incorrect number of arguments"),
        (("-getServiceState", "nn9"), "service address for namenode 'nn9'"),
        (("-getServiceState", "--forceactive", "nn1"), "getServiceState: incorrect arguments"),
        (("-checkHealth", "nn1", "nn2"), "checkHealth: incorrect number of arguments"),
        (("-transitionToActive",), "transitionToActive: incorrect number"),
        (("-transitionToStandby",), "transitionToStandby: incorrect number"),
        (("-transitionToObserver",), "transitionToObserver: incorrect number"),
        (("-failover", "nn1"), "failover: incorrect arguments"),
    ],
)
def test_words_that_make_no_sense(
    cluster: Cluster, capsys: Said, words: tuple[str, ...], said: str
) -> None:
    assert cluster.run(*words) == 255
    output = capsys.readouterr()
    assert output.out == ""
    assert said in output.err


@pytest.mark.parametrize(
    ("nameservices", "said"),
    [
        ("", "Unable to determine the name service ID."),
        ("ns1,ns2", "dfs.nameservices is set to [ns1, ns2]. Please re-run with the -ns option."),
    ],
)
def test_which_nameservice(cluster: Cluster, capsys: Said, nameservices: str, said: str) -> None:
    cluster.values["dfs.nameservices"] = nameservices
    assert cluster.run("-getServiceState", "nn1") == 255
    assert capsys.readouterr().err.endswith(f"{said}\n")
    assert cluster.run("-ns", "ns1", "-getServiceState", "nn1") == 0


def test_a_nameservice_without_namenodes(cluster: Cluster, capsys: Said) -> None:
    assert cluster.run("-ns", "ns9", "-getAllServiceState") == 255
    assert capsys.readouterr().err == "Failed to get service IDs\n"


def test_help_names_every_command(cluster: Cluster, capsys: Said) -> None:
    assert cluster.run("-help") == 0
    usage = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"[{name}" in usage
        assert cluster.run("-help", name[1:]) == 0
        assert capsys.readouterr().out.endswith(f": {command.help}\n")
    assert cluster.run("-help", "help") == 0


def test_main_reads_the_configuration(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "hdfs-site.xml").write_text("<configuration/>")
    keys = {
        "dfs.nameservices": "ns1",
        "dfs.ha.namenodes.ns1": "nn1",
        "dfs.namenode.rpc-address.ns1.nn1": "127.0.0.1:1",
    }
    words = [word for key, value in keys.items() for word in ("-D", f"{key}={value}")]
    assert main(["--config", str(tmp_path), *words, "-getServiceState", "nn1"]) == 255
    assert f"failed on connection exception: {REFUSED}" in capsys.readouterr().err


def test_a_controller_that_is_gone(automatic: Cluster, capsys: Said) -> None:
    automatic.controller.error = ConnectFailed("127.0.0.1:8032: Connection refused")
    assert automatic.run("-failover", "nn1", "nn2") == 255
    said = capsys.readouterr().err
    assert said.startswith("Operation failed: Call From ")
    assert f"to localhost:8032 failed on connection exception: {REFUSED}" in said


def test_explain_takes_no_arguments(cluster: Cluster, capsys: Said) -> None:
    assert cluster.run("-explain", "nn1") == 255
    assert "Usage: haadmin [-ns <nameserviceId>] [-explain [--json]]" in capsys.readouterr().err


def test_a_namenode_is_called_by_its_lifeline_address(automatic: Cluster, capsys: Said) -> None:
    automatic.values["dfs.namenode.lifeline.rpc-address.ns1.nn1"] = "127.0.0.1:8050"
    assert automatic.run("-transitionToStandby", "nn1") == 255
    assert "is enabled for NameNode at /127.0.0.1:8050" in capsys.readouterr().err


def test_all_states_where_there_is_no_nameservice(cluster: Cluster, capsys: Said) -> None:
    del cluster.values["dfs.nameservices"]
    assert cluster.run("-getAllServiceState") == 255
    assert capsys.readouterr().err == "Failed to get service IDs\n"

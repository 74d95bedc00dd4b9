"""Adapter. `hdfsd haadmin`: see and change which NameNode is active (hadoop DFSHAAdmin).

Options, texts and exit codes are Hadoop's; -1 leaves the process as 255.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import uvloop

from hdfsd.base.config import Configuration
from hdfsd.base.errors import (
    ConfigError,
    ConnectFailed,
    HdfsdError,
    HealthCheckFailed,
    LinkError,
    PeerError,
    RemoteFault,
    ServiceFailed,
    Unsupported,
)
from hdfsd.base.ids import Address
from hdfsd.base.nameservices import NameNodeAddresses, namenode, namenode_ids
from hdfsd.base.settings import fencing_methods, graceful_fence_connect_ms
from hdfsd.failover.calls import HaService, Links, RequestSource, RpcLinks, ServiceStatus
from hdfsd.failover.fence_methods import parse_methods
from hdfsd.failover.fencing import Fencer, FencingPlan, Means
from hdfsd.failover.manual import FailoverFailed, ManualFailover
from hdfsd.failover.policy import ServiceState
from hdfsd.io.clock import RealClock
from hdfsd.io.dice import RealDice
from hdfsd.io.election import host_name
from hdfsd.io.network import TcpNetwork
from hdfsd.io.prompt import confirm
from hdfsd.io.shell import RealShell
from hdfsd.io.site import configuration_of, current_user
from hdfsd.io.ssh import RealSsh

T = TypeVar("T")

CALL_ERRORS = (RemoteFault, LinkError, PeerError)
FAILED = 255
"""-1 as the shell sees it."""
OTHER_ACTIVE_TIMEOUT_MS = 5000
"""HAAdmin.isOtherTargetNodeActive."""
REFUSED = "Connection refused"
FORCE_MANUAL_WARNING = """\
You have specified the --forcemanual flag. This flag is dangerous, as it can induce a split-brain \
scenario that WILL CORRUPT your HDFS namespace, possibly irrecoverably.

It is recommended not to use this flag, but instead to shut down the cluster and disable \
automatic failover if you prefer to manually manage your HA state.

You may abort safely by answering 'n' or hitting ^C now.

Are you sure you want to continue?"""
GENERIC_USAGE = """
Generic options supported are:
-conf <configuration file>        specify an application configuration file
-D <property=value>               define a value for a given property
-fs <file:///|hdfs://namenode:port> specify default filesystem URL to use, overrides \
'fs.defaultFS' property from configurations.
--config <directory>              read core-site.xml and hdfs-site.xml there

The general command line syntax is:
command [genericOptions] [commandOptions]
"""


class IllegalArgument(Exception):
    """What Java throws as IllegalArgumentException: the words can't be made sense of."""


@dataclass(frozen=True, slots=True)
class Target:
    """A NameNode as this tool addresses it (NNHAServiceTarget)."""

    node_id: str
    addresses: NameNodeAddresses
    conf: Configuration

    @property
    def automatic(self) -> bool:
        return self.conf.get_bool("dfs.ha.automatic-failover.enabled")

    @property
    def address(self) -> Address:
        return self.addresses.for_servers

    def as_configured(self) -> str:
        """Before Java has asked for the name of the host: `/127.0.0.1:8020`."""
        return f"NameNode at {_java_address(_called(self.addresses), named=False)}"

    def as_resolved(self) -> str:
        """After it has: `localhost/127.0.0.1:8020`."""
        return _resolved_name(self.addresses)


def _resolved_name(addresses: NameNodeAddresses) -> str:
    return f"NameNode at {_java_address(_called(addresses), named=True)}"


def _called(addresses: NameNodeAddresses) -> Address:
    """By which address NNHAServiceTarget calls itself."""
    return addresses.lifeline_rpc or addresses.for_servers


def _java_address(address: Address, *, named: bool) -> str:
    """As java.net.InetSocketAddress prints it."""
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        try:
            return f"{address.host}/{socket.gethostbyname(address.host)}:{address.port}"
        except OSError:
            return f"{address.host}/<unresolved>:{address.port}"
    name = host_name(address.host) if named else ""
    return f"{name}/{address.host}:{address.port}"


@dataclass(frozen=True, slots=True)
class Words:
    """The arguments of one command: flags without their dashes, and the rest."""

    flags: frozenset[str]
    rest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    run: Callable[[HaAdmin, Words], Awaitable[int]]
    arguments: str
    help: str
    flags: frozenset[str] = frozenset()


class HaAdmin:
    """One run of the tool."""

    def __init__(self, conf: Configuration, links: Links) -> None:
        self._conf = conf
        self._links = links
        self._nameservice: str | None = None
        self._source = RequestSource.USER

    async def run(self, words: Sequence[str]) -> int:
        """The exit code."""
        try:
            return await self._run(list(words))
        except IllegalArgument as error:
            return _complain(f"Illegal argument: {error}")
        except CALL_ERRORS as error:
            return _complain(f"Operation failed: {_text(error)}")

    async def _run(self, words: list[str]) -> int:
        if words[:1] == ["-ns"]:
            if len(words) < 3:
                missing = "nameservice ID" if len(words) == 1 else "command"
                return _usage_after(f"Missing {missing}")
            self._nameservice = words[1]
            words = words[2:]
        if not words:
            return _usage_after()
        name = words.pop(0)
        if not name.startswith("-"):
            return _usage_after(f"Bad command '{name}': expected command starting with '-'")
        if name == "-help":
            return _help(words)
        command = COMMANDS.get(name)
        if command is None:
            return _usage_after(f"{name[1:]}: Unknown command")
        parsed = _parse(words, command.flags)
        if parsed is None:
            return _usage_of(name, "incorrect arguments")
        if "forcemanual" in parsed.flags:
            if not confirm(FORCE_MANUAL_WARNING):
                return _complain("Aborted")
            self._source = RequestSource.USER_FORCED
        return await command.run(self, parsed)

    # Commands.

    async def get_service_state(self, words: Words) -> int:
        if len(words.rest) != 1:
            return _usage_of("-getServiceState", "incorrect number of arguments")
        status = await self._status(self._target(words.rest[0]), self._check_timeout_ms)
        print(status.state.name.lower())
        return 0

    async def get_all_service_state(self, words: Words) -> int:
        targets = [self._target(node_id) for node_id in self._node_ids()]
        if not targets:
            return _complain("Failed to get service IDs")
        for target in targets:
            name = f"{host_name(target.address.host)}:{target.address.port}"
            try:
                status = await self._status(target, self._check_timeout_ms)
                print(f"{name:<50} {status.state.name.lower():<10}")
            except CALL_ERRORS as error:
                print(f"{name:<50} {'Failed to connect: ' + _text(error):<10}")
        return 0

    async def check_health(self, words: Words) -> int:
        if len(words.rest) != 1:
            return _usage_of("-checkHealth", "incorrect number of arguments")
        try:
            await self._with(
                self._target(words.rest[0]),
                lambda service: service.monitor_health(deadline_ms=self._check_timeout_ms),
            )
        except HealthCheckFailed as error:
            return _complain(f"Health check failed: {_text(error)}")
        return 0

    async def explain(self, words: Words) -> int:
        """Ours alone: Hadoop's tool has nothing like it."""
        # Here, since it brings an HTTP client, which no other command waits for.
        from hdfsd.cli.haadmin_explain import Explainer, explanation, lines_of, timing_of

        if words.rest:
            return _usage_of("-explain", "incorrect number of arguments")
        targets = [self._target(node_id) for node_id in self._node_ids()]
        if not targets:
            return _complain("Failed to get service IDs")
        clock = RealClock()
        explainer = Explainer(self._links)
        seen = await explainer.look([target.addresses for target in targets])
        told = explanation(
            self._name_of_service(), seen, timing_of(targets[0].conf), clock.wall_ms()
        )
        print(json.dumps(told, indent=2) if "json" in words.flags else "\n".join(lines_of(told)))
        return 0

    async def transition_to_active(self, words: Words) -> int:
        if len(words.rest) != 1:
            return _usage_of("-transitionToActive", "incorrect number of arguments")
        target = self._target(words.rest[0])
        if "forceactive" not in words.flags:
            obstacle = await self._other_active(target.node_id)
            if obstacle is not None:
                return obstacle
        return await self._transition(target, ServiceState.ACTIVE)

    async def _other_active(self, node_id: str) -> int | None:
        """The exit code when another NameNode is or may be active."""
        for other in self._node_ids():
            if other == node_id:
                continue
            target = self._target(other)
            if not self._manual_is_allowed(target):
                return FAILED
            try:
                status = await self._status(target, OTHER_ACTIVE_TIMEOUT_MS)
            except CALL_ERRORS as error:
                return _usage_of(
                    "-transitionToActive", f"Unexpected error occurred  {_text(error)}"
                )
            if status.state is ServiceState.ACTIVE:
                said = f"transitionToActive: Node {other} is already active"
                return _usage_of("-transitionToActive", said)
        return None

    async def transition_to_standby(self, words: Words) -> int:
        if len(words.rest) != 1:
            return _usage_of("-transitionToStandby", "incorrect number of arguments")
        return await self._transition(self._target(words.rest[0]), ServiceState.STANDBY)

    async def transition_to_observer(self, words: Words) -> int:
        if len(words.rest) != 1:
            return _usage_of("-transitionToObserver", "incorrect number of arguments")
        try:
            return await self._transition(self._target(words.rest[0]), ServiceState.OBSERVER)
        except ServiceFailed as error:
            return _complain(f"transitionToObserver failed! {_text(error)}")

    async def _transition(self, target: Target, state: ServiceState) -> int:
        if not self._manual_is_allowed(target):
            return FAILED
        timeout_ms = self._conf.get_duration_ms("ipc.client.rpc-timeout.ms")
        await self._with(
            target,
            lambda service: service.transition(state, self._source, deadline_ms=timeout_ms),
        )
        return 0

    async def failover(self, words: Words) -> int:
        if len(words.rest) != 2:
            return _usage_of("-failover", "incorrect arguments")
        old, new = map(self._target, words.rest)
        if old.automatic != new.automatic:
            raise ConfigError(
                f"Inconsistent auto-failover configs between {old.as_configured()} and"
                f" {new.as_configured()}!"
            )
        forced = words.flags & {"forcefence", "forceactive"}
        if old.automatic:
            if forced:
                return _complain(
                    "forcefence and forceactive flags not supported with auto-failover enabled."
                )
            return await self._failover_by_controllers(new)
        return await self._failover_by_hand(old, new, forced)

    async def _failover_by_controllers(self, new: Target) -> int:
        controller = self._links.zkfc(new.addresses.zkfc)
        try:
            await controller.graceful_failover(deadline_ms=self._new_active_timeout_ms)
        except ConnectFailed as error:
            raise ConnectFailed(_connection_text(new.addresses.zkfc, error)) from error
        except ServiceFailed as error:
            return _complain(f"Failover failed: {_text(error)}")
        except Unsupported as error:
            return _complain(
                f"Failover command is not supported with auto-failover enabled: {_text(error)}"
            )
        finally:
            await controller.close()
        print(f"Failover to {new.as_resolved()} successful")
        return 0

    async def _failover_by_hand(self, old: Target, new: Target, forced: frozenset[str]) -> int:
        methods = parse_methods(fencing_methods(old.conf))
        if not methods:
            raise IllegalArgument("failover requires a fencer")
        plan = FencingPlan(
            methods=methods,
            environment=dict(old.conf.set_values()),
            graceful_timeout_ms=self._conf.get_duration_ms(
                "ha.failover-controller.graceful-fence.rpc-timeout.ms"
            ),
            connect_ms=graceful_fence_connect_ms(old.conf),
            timeout_ms=old.conf.get_duration_ms("hdfsd.ha.fencing.timeout"),
            ssh_connect_timeout_ms=old.conf.get_duration_ms("dfs.ha.fencing.ssh.connect-timeout"),
            ssh_key_files=old.conf.get_list("dfs.ha.fencing.ssh.private-key-files"),
        )
        means = Means(self._links, RealShell(), RealClock(), RealSsh())
        fencer = Fencer(plan, means, self._source)
        manual = ManualFailover(
            self._links,
            fencer,
            self._source,
            new_active_timeout_ms=self._new_active_timeout_ms,
            name=_resolved_name,
        )
        try:
            await manual.failover(
                old.addresses,
                new.addresses,
                force_fence="forcefence" in forced,
                force_active="forceactive" in forced,
            )
        except FailoverFailed as error:
            return _complain(f"Failover failed: {error}")
        print(f"Failover from {old.node_id} to {new.node_id} successful")
        return 0

    # What commands share.

    @property
    def _check_timeout_ms(self) -> int:
        return self._conf.get_duration_ms("ha.failover-controller.cli-check.rpc-timeout.ms")

    @property
    def _new_active_timeout_ms(self) -> int:
        return self._conf.get_duration_ms("ha.failover-controller.new-active.rpc-timeout.ms")

    def _manual_is_allowed(self, target: Target) -> bool:
        if not target.automatic:
            return True
        if self._source is RequestSource.USER_FORCED:
            _complain(
                "Proceeding with manual HA state management even though\n"
                f"automatic failover is enabled for {target.as_configured()}"
            )
            return True
        _complain(
            f"Automatic failover is enabled for {target.as_configured()}\n"
            "Refusing to manually manage HA state, since it may cause\n"
            "a split-brain scenario or other incorrect state.\n"
            "If you are very sure you know what you are doing, please \n"
            "specify the --forcemanual flag."
        )
        return False

    def _name_of_service(self) -> str:
        if self._nameservice is not None:
            return self._nameservice
        names = self._conf.get_list("dfs.nameservices")
        if len(names) == 1:
            return names[0]
        message = "Unable to determine the name service ID."
        if names:
            message += (
                " This is an HA configuration with multiple name services configured."
                f" dfs.nameservices is set to [{', '.join(names)}]."
                " Please re-run with the -ns option."
            )
        raise IllegalArgument(message)

    def _node_ids(self) -> tuple[str, ...]:
        if self._nameservice is None and not self._conf.get_list("dfs.nameservices"):
            return ()
        return tuple(filter(None, namenode_ids(self._conf, self._name_of_service())))

    def _target(self, node_id: str) -> Target:
        nameservice = self._name_of_service()
        try:
            addresses = namenode(self._conf, nameservice, node_id)
        except ConfigError:
            raise IllegalArgument(
                f"Unable to determine service address for namenode '{node_id}'"
            ) from None
        return Target(node_id, addresses, self._conf.scoped(nameservice, node_id))

    async def _status(self, target: Target, timeout_ms: int) -> ServiceStatus:
        return await self._with(target, lambda service: service.status(deadline_ms=timeout_ms))

    async def _with(self, target: Target, ask: Callable[[HaService], Awaitable[T]]) -> T:
        service = self._links.ha_service(target.address)
        try:
            return await ask(service)
        except ConnectFailed as error:
            raise ConnectFailed(_connection_text(target.address, error)) from error
        finally:
            await service.close()


COMMANDS: Mapping[str, Command] = {
    "-checkHealth": Command(
        HaAdmin.check_health,
        "<serviceId>",
        "Requests that the service perform a health check.\n"
        "The HAAdmin tool will exit with a non-zero exit code\nif the check fails.",
    ),
    "-explain": Command(
        HaAdmin.explain,
        "[--json]",
        "Says who is active since when and why, what each failover controller sees,\n"
        "what would happen now if something failed, and how the last failovers went.",
        frozenset({"json"}),
    ),
    "-failover": Command(
        HaAdmin.failover,
        "[--forcefence] [--forceactive] <serviceId> <serviceId>",
        "Failover from the first service to the second.\n"
        "Unconditionally fence services if the --forcefence option is used.\n"
        "Try to failover to the target service even if it is not ready if the --forceactive"
        " option is used.",
        frozenset({"forcefence", "forceactive", "forcemanual"}),
    ),
    "-getAllServiceState": Command(
        HaAdmin.get_all_service_state, "", "Returns the state of all the services"
    ),
    "-getServiceState": Command(
        HaAdmin.get_service_state, "<serviceId>", "Returns the state of the service"
    ),
    "-transitionToActive": Command(
        HaAdmin.transition_to_active,
        "[--forceactive] <serviceId>",
        "Transitions the service into Active state",
        frozenset({"forceactive", "forcemanual"}),
    ),
    "-transitionToObserver": Command(
        HaAdmin.transition_to_observer,
        "<serviceId>",
        "Transitions the service into Observer state",
        frozenset({"forcemanual"}),
    ),
    "-transitionToStandby": Command(
        HaAdmin.transition_to_standby,
        "<serviceId>",
        "Transitions the service into Standby state",
        frozenset({"forcemanual"}),
    ),
}
USAGE = "Usage: haadmin [-ns <nameserviceId>]"
HELP = ("<command>", "Displays help on the specified command")


def main(arguments: Sequence[str]) -> int:
    """`hdfsd haadmin [-ns <nameservice>] -command …`."""
    conf, words = configuration_of(arguments)
    links = RpcLinks(TcpNetwork(), RealDice(), current_user())
    return uvloop.run(HaAdmin(conf, links).run(words))


def _parse(words: Sequence[str], flags: frozenset[str]) -> Words | None:
    """None when there is an option that the command does not take."""
    found = set()
    rest = []
    for word in words:
        if not word.startswith("-") or word == "-":
            rest.append(word)
        elif word.lstrip("-") in flags:
            found.add(word.lstrip("-"))
        else:
            return None
    return Words(frozenset(found), tuple(rest))


def _usage_lines() -> list[str]:
    entries = {name: command.arguments for name, command in COMMANDS.items()}
    entries["-help"] = HELP[0]
    lines = [f"    [{f'{name} {entries[name]}'.strip()}]" for name in sorted(entries)]
    return [USAGE, *lines, GENERIC_USAGE]


def _usage_after(message: str | None = None) -> int:
    return _complain("\n".join([*([message] if message else []), *_usage_lines()]))


def _usage_of(name: str, message: str) -> int:
    """The usage of one command, after what was wrong with its words."""
    said = f"{name[1:]}: {message}" if message.startswith("incorrect") else message
    words = f"{name} {COMMANDS[name].arguments}".strip()
    return _complain(f"{said}\n{USAGE} [{words}]")


def _help(words: Sequence[str]) -> int:
    if not words:
        print("\n".join(_usage_lines()))
        return 0
    if len(words) > 1:
        return _complain(f"{USAGE} [-help {HELP[0]}]")
    name = words[0] if words[0].startswith("-") else f"-{words[0]}"
    if name == "-help":
        arguments, text = HELP
    elif name in COMMANDS:
        arguments, text = COMMANDS[name].arguments, COMMANDS[name].help
    else:
        return _usage_after(f"{name}: Unknown command")
    print(f"{name} [{arguments}]: {text}" if arguments else f"{name}: {text}")
    return 0


def _complain(message: str) -> int:
    print(message, file=sys.stderr)
    return FAILED


def _text(error: HdfsdError) -> str:
    """The first line: Hadoop's servers send the stack trace behind it."""
    text = error.message if isinstance(error, RemoteFault) else str(error)
    return text.partition("\n")[0]


def _connection_text(address: Address, error: ConnectFailed) -> str:
    """As NetUtils.wrapException says it."""
    cause = str(error).removeprefix(f"{address}: ")
    if REFUSED in cause:
        cause = (
            f"java.net.ConnectException: {REFUSED}; For more details see: "
            " http://wiki.apache.org/hadoop/ConnectionRefused"
        )
    return (
        f"Call From {_own_host()} to {host_name(address.host)}:{address.port} failed on"
        f" connection exception: {cause}"
    )


def _own_host() -> str:
    """As Java's InetAddress.getLocalHost prints itself."""
    own = socket.gethostname()
    try:
        return f"{own}/{socket.gethostbyname(own)}"
    except OSError:
        return own

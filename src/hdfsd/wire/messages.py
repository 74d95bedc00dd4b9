"""Data. Every protobuf module under a short name, as in `messages.hdfs`, `messages.qjournal`."""

from google.protobuf.message import DecodeError, EncodeError, Message

from hdfsd.wire.pb import AliasMapProtocol_pb2 as alias_map
from hdfsd.wire.pb import ClientDatanodeProtocol_pb2 as client_datanode
from hdfsd.wire.pb import ClientNamenodeProtocol_pb2 as client_namenode
from hdfsd.wire.pb import DatanodeLifelineProtocol_pb2 as datanode_lifeline
from hdfsd.wire.pb import DatanodeProtocol_pb2 as datanode
from hdfsd.wire.pb import FSProtos_pb2 as fs
from hdfsd.wire.pb import GenericRefreshProtocol_pb2 as generic_refresh
from hdfsd.wire.pb import GetUserMappingsProtocol_pb2 as get_user_mappings
from hdfsd.wire.pb import HAServiceProtocol_pb2 as ha_service
from hdfsd.wire.pb import HAZKInfo_pb2 as ha_zk_info
from hdfsd.wire.pb import HdfsServer_pb2 as hdfs_server
from hdfsd.wire.pb import InterDatanodeProtocol_pb2 as inter_datanode
from hdfsd.wire.pb import InterQJournalProtocol_pb2 as inter_qjournal
from hdfsd.wire.pb import IpcConnectionContext_pb2 as ipc_connection_context
from hdfsd.wire.pb import JournalProtocol_pb2 as journal
from hdfsd.wire.pb import NamenodeProtocol_pb2 as namenode
from hdfsd.wire.pb import ProtobufRpcEngine2_pb2 as rpc_engine
from hdfsd.wire.pb import ProtocolInfo_pb2 as protocol_info
from hdfsd.wire.pb import QJournalProtocol_pb2 as qjournal
from hdfsd.wire.pb import ReconfigurationProtocol_pb2 as reconfiguration
from hdfsd.wire.pb import RefreshAuthorizationPolicyProtocol_pb2 as refresh_authorization_policy
from hdfsd.wire.pb import RefreshCallQueueProtocol_pb2 as refresh_call_queue
from hdfsd.wire.pb import RefreshUserMappingsProtocol_pb2 as refresh_user_mappings
from hdfsd.wire.pb import RpcHeader_pb2 as rpc_header
from hdfsd.wire.pb import Security_pb2 as security
from hdfsd.wire.pb import ZKFCProtocol_pb2 as zkfc
from hdfsd.wire.pb import acl_pb2 as acl
from hdfsd.wire.pb import datatransfer_pb2 as data_transfer
from hdfsd.wire.pb import editlog_pb2 as editlog
from hdfsd.wire.pb import encryption_pb2 as encryption
from hdfsd.wire.pb import erasurecoding_pb2 as erasure_coding
from hdfsd.wire.pb import fsimage_pb2 as fsimage
from hdfsd.wire.pb import hdfs_pb2 as hdfs
from hdfsd.wire.pb import inotify_pb2 as inotify
from hdfsd.wire.pb import xattr_pb2 as xattr

__all__ = [
    "DecodeError",
    "EncodeError",
    "Message",
    "acl",
    "alias_map",
    "client_datanode",
    "client_namenode",
    "data_transfer",
    "datanode",
    "datanode_lifeline",
    "editlog",
    "encryption",
    "erasure_coding",
    "fs",
    "fsimage",
    "generic_refresh",
    "get_user_mappings",
    "ha_service",
    "ha_zk_info",
    "hdfs",
    "hdfs_server",
    "inotify",
    "inter_datanode",
    "inter_qjournal",
    "ipc_connection_context",
    "journal",
    "namenode",
    "protocol_info",
    "qjournal",
    "reconfiguration",
    "refresh_authorization_policy",
    "refresh_call_queue",
    "refresh_user_mappings",
    "rpc_engine",
    "rpc_header",
    "security",
    "xattr",
    "zkfc",
]

ALL = (
    acl,
    alias_map,
    client_datanode,
    client_namenode,
    data_transfer,
    datanode,
    datanode_lifeline,
    editlog,
    encryption,
    erasure_coding,
    fs,
    fsimage,
    generic_refresh,
    get_user_mappings,
    ha_service,
    ha_zk_info,
    hdfs,
    hdfs_server,
    inotify,
    inter_datanode,
    inter_qjournal,
    ipc_connection_context,
    journal,
    namenode,
    protocol_info,
    qjournal,
    reconfiguration,
    refresh_authorization_policy,
    refresh_call_queue,
    refresh_user_mappings,
    rpc_engine,
    rpc_header,
    security,
    xattr,
    zkfc,
)
"""The generated modules, for whoever walks all messages or services."""

/** The tunnel between agents and the interception: replies' headers one way, registrations the other. */
export { AgentLink, type LinkEnd } from './agent_link.ts';
export {
  TunnelClient,
  type TunnelClientOptions,
  type TunnelClientStatistics,
  type TunnelState,
} from './client.ts';
export { KEY_BYTES_MIN, KEY_FILE_DEFAULT, readKeyFile, writeNewKey } from './key.ts';
export { TUNNEL_PORT, TUNNEL_VERSION, type TunnelStatus, type Welcome } from './protocol.ts';
export { decodeReply, keyOfHeader, REPLY_BYTES_MAX, readReply, replyBytes, replyKey, writeReply } from './reply.ts';
export { ReplyBatch } from './reply_batch.ts';
export {
  openTunnelServer,
  TUNNEL_LIMITS,
  type TunnelLimits,
  TunnelServer,
  type TunnelServerOptions,
  type TunnelTls,
} from './server.ts';
export {
  hashKey,
  isKeyV4,
  KEY_CLIENT,
  KEY_PORTS,
  KEY_SERVICE,
  KEY_WORDS,
  setKeyPorts,
  setKeyV4,
} from './session_key.ts';
export { SessionMap } from './session_map.ts';

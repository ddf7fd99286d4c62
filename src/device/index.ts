/** Devices: where frames leave, and what stands against it. */
export { type MacResolver, openMacResolver, parseMac } from './addressing.ts';
export { type AfPacketOptions, openAfPacketSink } from './af_packet.ts';
export { type AfXdpOptions, openAfXdpSink, xdpQueueCount } from './af_xdp_open.ts';
export { type FaultPlan, FaultSink, type FaultTally, LOSS_CAUSE, REFUSED_CAUSE } from './fault.ts';
export { type FileSinkOptions, openFileSink, TraceSink } from './file.ts';
export { type FrameFilter, listDevices, openFrameFilter, type PcapDevice } from './filter.ts';
export { openLibpcapSink } from './libpcap.ts';
export { interfaceNames, type LinkFacts, linkFacts } from './link.ts';
export { type KeptFrame, MemorySink, type MemorySinkOptions } from './memory.ts';
export { chooseBackend, INTERFACE_BACKENDS, type InterfaceBackend, openSink, type SinkSpec } from './open.ts';
export {
  type PreflightFinding,
  type PreflightNeeds,
  type PreflightReport,
  preflight,
  type WireCount,
  wireCounters,
  wireDifference,
} from './preflight.ts';
export { openRawIpSink, type RawIpOptions } from './raw_ip.ts';
export { openRawSocketSink } from './raw_socket.ts';
export { type Sink, SinkCounters, type SinkLimits } from './sink.ts';
export type { Source } from './source.ts';
export { openTunSink, type TunOptions } from './tun.ts';

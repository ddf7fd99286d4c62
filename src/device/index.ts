/** Devices: where frames leave, and what stands against it. */
export { type MacResolver, openMacResolver, parseMac } from './addressing.ts';
export { type AfPacketOptions, openAfPacketSink } from './af_packet.ts';
export { type AfXdpOptions, openAfXdpSink, xdpQueueCount } from './af_xdp_open.ts';
export { chooseBackend, INTERFACE_BACKENDS, type InterfaceBackend } from './backend.ts';
export { hasCap } from './cap_source.ts';
export { type CaptureFilesSpec, openCaptureFiles } from './capture_file.ts';
export {
  CAPTURE_BACKENDS,
  type CaptureBackend,
  type CaptureSource,
  type CaptureSourceSpec,
  type Direction,
  type SourceInterface,
  type SourceStatistics,
  type StampSource,
} from './capture_source.ts';
export { type FaultPlan, FaultSink, type FaultTally, LOSS_CAUSE, REFUSED_CAUSE } from './fault.ts';
export { type FileSinkOptions, openFileSink, TraceSink } from './file.ts';
export { type FrameFilter, listDevices, openFrameFilter, type PcapDevice } from './filter.ts';
export { openLibpcapSink } from './libpcap.ts';
export { interfaceNames, type LinkFacts, linkFacts } from './link.ts';
export { type KeptFrame, MemorySink, type MemorySinkOptions } from './memory.ts';
export { openSink, type SinkSpec } from './open.ts';
export { chooseCaptureBackend, openCaptureSource } from './open_source.ts';
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

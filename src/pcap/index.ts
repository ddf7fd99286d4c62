/** Captures: reading and writing pcap and pcapng. */
export { type OpenCaptureOptions, openCapture } from './open.ts';
export type { CaptureInfo, CaptureInterface, CaptureReader } from './reader.ts';

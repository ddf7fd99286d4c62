/** Captures: reading and writing pcap and pcapng, plain or compressed, and tcpprep caches. */
export { type CapturedFrame, captureFrames } from './frames.ts';
export { type OpenCaptureOptions, openCapture } from './open.ts';
export { PrepCache, PrepCacheBuilder, PrepVerdict, readPrepCache } from './prep_cache.ts';
export type {
  CaptureDetails,
  CaptureInfo,
  CaptureInterface,
  CaptureReader,
  InterfaceDetails,
  InterfaceStatistics,
  SectionDetails,
} from './reader.ts';
export {
  type CaptureWriter,
  type CaptureWriterOptions,
  createCaptureWriter,
  type PcapngCaptureWriter,
  type WriterInterface,
  type WriterStatistics,
} from './writer.ts';

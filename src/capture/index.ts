/** Capturing: batches of frames from interfaces or files, for programs of one's own. */
export { Capture, openCapture } from './capture.ts';
export type { CaptureCounts, CaptureOptions, NamespaceSpec } from './spec.ts';

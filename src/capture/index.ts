/** Capturing: batches of frames from interfaces or files, for programs of one's own. */

export type { NamespaceSpec } from '../device/host_capture.ts';
export { Capture, openCapture } from './capture.ts';
export type { CaptureCounts, CaptureOptions } from './spec.ts';

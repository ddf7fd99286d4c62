/** `openCaptureSource`: a source by the name of its backend. */

import { openCapSource } from './cap_source.ts';
import type { CaptureBackend, CaptureSource, CaptureSourceSpec } from './capture_source.ts';
import { openLibpcapSource } from './libpcap_source.ts';
import { openPacketRingSource } from './packet_ring_open.ts';

/** The kernel's ring on Linux, libpcap elsewhere. */
export function chooseCaptureBackend(): CaptureBackend {
  return process.platform === 'linux' ? 'af_packet' : 'libpcap';
}

/** Opens a source. Throws an OperatorError that says what to type. */
export function openCaptureSource(spec: CaptureSourceSpec): CaptureSource {
  switch (spec.backend) {
    case 'af_packet':
      return openPacketRingSource(spec);
    case 'libpcap':
      return openLibpcapSource(spec);
    case 'cap':
      return openCapSource(spec);
  }
}

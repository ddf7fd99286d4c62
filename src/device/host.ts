/** What the engines need of the machine besides devices: its clock and its memory. */
export { monotonicSeconds, realtimeMs, SystemClock, type WaitMode } from '../sys/clock.ts';
export { type Encoder, openEncoder } from '../sys/compressor.ts';
export { cachedBytes, formatLocalTime } from '../sys/disk.ts';
export { describeErrno, Errno } from '../sys/errno.ts';
export { copyBytes } from '../sys/file.ts';
export { ipJson } from '../sys/ip.ts';
export { dataAddress } from '../sys/libc.ts';
export { anonymousRegion, discardPages, MAP_ALIGN_BYTES } from '../sys/memory.ts';
export { hasCapability, permissionRemedy } from '../sys/permission.ts';
export { becomeRealtime } from '../sys/scheduling.ts';
export { receiveNow, sendNow } from '../sys/socket.ts';

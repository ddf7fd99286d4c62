/** What the engines need of the machine besides devices: its clock and its memory. */
export { monotonicSeconds, realtimeMs, SystemClock, type WaitMode } from '../sys/clock.ts';
export { anonymousRegion } from '../sys/memory.ts';

/**
 * Entry of a sending thread. Functions that are compiled when they are first called made the first packet 0.2 to 0.4 ms
 * late, so the modules of the send path are compiled whole as they are loaded; compiling all modules so costs 60 ms.
 */
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--no-lazy');
await import('./send.ts');
await import('./pace.ts');
await import('./schedule.ts');
await import('../device/af_packet.ts');
await import('../device/host.ts');
setFlagsFromString('--lazy');

const { runSendingThread } = await import('./thread.ts');
runSendingThread();

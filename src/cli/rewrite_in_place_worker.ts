/** A thread that edits windows beside the main one: waits for its work, does it, says what came of it. */
import { parentPort } from 'node:worker_threads';
import type { HelperResult, HelperStart } from './rewrite_helpers.ts';
import { runWindows } from './rewrite_windows.ts';

const port = parentPort!;

port.once('message', async ({ windows, cachefile }: HelperStart) => {
  const router = cachefile === null ? null : (await import('./rewrite_cache.ts')).readCacheRouter(cachefile);
  const { tally, longest, fault } = runWindows(windows, router);
  const result: HelperResult = {
    tally,
    longest,
    fault: fault === null ? null : { code: fault.code, message: fault.message },
  };
  port.postMessage(result);
});

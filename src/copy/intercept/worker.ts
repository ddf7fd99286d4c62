/** The thread of an interception: runs it until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads';
import { OperatorError } from '../../base/errors.ts';
import type { TunnelLimits } from '../tunnel/server.ts';
import { type InterceptNote, type InterceptSnapshot, SNAPSHOT_MS } from './intercept.ts';
import { Interception } from './interception.ts';
import type { InterceptSpec } from './spec.ts';

export interface InterceptStart {
  readonly spec: InterceptSpec;
  readonly limits?: Partial<TunnelLimits>;
}

export type InterceptMessage =
  | {
      readonly kind: 'ready';
      readonly interface: string;
      readonly port: number;
      readonly snapshot: InterceptSnapshot;
    }
  | { readonly kind: 'note'; readonly note: InterceptNote }
  | { readonly kind: 'snapshot'; readonly snapshot: InterceptSnapshot }
  | { readonly kind: 'ended'; readonly snapshot: InterceptSnapshot }
  /** It could not be set up. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

function post(message: InterceptMessage): void {
  parentPort!.postMessage(message);
}

async function main({ spec, limits }: InterceptStart): Promise<void> {
  const interception = new Interception(spec, {
    note: (note) => post({ kind: 'note', note }),
    ...(limits === undefined ? {} : { limits }),
  });
  await interception.open();
  parentPort!.once('message', () => void interception.stop());
  post({
    kind: 'ready',
    interface: interception.interface,
    port: interception.port,
    snapshot: interception.snapshot(),
  });
  const timer = setInterval(() => post({ kind: 'snapshot', snapshot: interception.snapshot() }), SNAPSHOT_MS);
  await interception.run();
  clearInterval(timer);
  post({ kind: 'ended', snapshot: await interception.stop() });
}

try {
  await main(workerData as InterceptStart);
} catch (error) {
  if (!(error instanceof OperatorError)) throw error;
  post({ kind: 'failed', code: error.code, message: error.message });
}

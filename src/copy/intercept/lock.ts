/** One interception of mode `host` a network namespace. */
import { createServer, type Server } from 'node:net';
import { OperatorError } from '../../base/errors.ts';

/** In the abstract name space of the network namespace: gone with the process, however it ends. */
const LOCK = '\0tsreplay/tsintercept';

/** Until it is closed. Rejects with RESOURCE where another one holds it. */
export function takeLock(): Promise<Server> {
  const lock = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    lock.once('error', (cause: NodeJS.ErrnoException) => {
      const busy =
        'another tsintercept diverts replies on this host: stop it, or give it all services (--service 80,81)';
      const message = cause.code === 'EADDRINUSE' ? busy : `cannot take the lock: ${cause.message}`;
      reject(new OperatorError('RESOURCE', message, { cause }));
    });
    lock.listen(LOCK, () => resolve(lock.unref()));
  });
}

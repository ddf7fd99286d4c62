/**
 * `--verbose`: every packet sent is printed by tcpdump, which reads a copy of them from a FIFO. When tcpdump ends
 * early the FIFO is read empty, so that the replay itself goes on.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { accessSync, closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OperatorError } from '../base/errors.ts';

export interface Decoder {
  /** The FIFO that packets are to be written to. */
  readonly path: string;
  /** Waits until all that was written is printed. Returns a warning when tcpdump failed, else null. */
  finish(): Promise<string | null>;
  /** Ends tcpdump without waiting: nothing was ever written. */
  abandon(): void;
}

const PATH_ALWAYS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];
/** The shell opens the FIFO before tcpdump gives its rights up, and says so. */
const OPENED = 'fifo opened';
const SCRIPT = `tcpdump=$1; shift; exec < "$1"; shift; echo '${OPENED}' >&2; exec "$tcpdump" -n -l -r - "$@"`;

/** `decodeArgs`: the text of `--decode`, or ''. Throws UNSUPPORTED where there is no tcpdump. */
export function startDecoder(decodeArgs: string): Decoder {
  const tcpdump = findTcpdump();
  const directory = mkdtempSync(join(tmpdir(), 'tsreplay-'));
  const path = join(directory, 'packets');
  execFileSync('mkfifo', ['-m', '600', path]);
  const keeper = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const args = decodeArgs.split(/\s+/).filter((word) => word !== '');
  const child = spawn('sh', ['-c', SCRIPT, 'sh', tcpdump, path, ...args], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  // Held until tcpdump has the FIFO open: without any writer the shell would wait for one for ever.
  const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const { complaints, opened } = listen(child);
  let reader: Socket | null = null;
  const ended = new Promise<number>((resolve) => {
    child.once('close', (code) => {
      reader = new Socket({ fd: keeper, readable: true, writable: false });
      reader.on('error', () => {}).resume();
      resolve(code ?? 0);
    });
  });
  const cleanUp = (): void => {
    if (reader === null) closeSync(keeper);
    else reader.destroy();
    rmSync(directory, { recursive: true, force: true });
  };
  return {
    path,
    async finish() {
      await opened;
      closeSync(writer);
      const code = await ended;
      cleanUp();
      if (code === 0) return null;
      const why = complaints.join(' ').trim();
      return `--verbose: tcpdump ended with status ${code}${why === '' ? '' : `: ${why}`}`;
    },
    abandon() {
      child.kill();
      closeSync(writer);
      cleanUp();
    },
  };
}

function findTcpdump(): string {
  for (const directory of [...(process.env['PATH'] ?? '').split(':'), ...PATH_ALWAYS]) {
    const path = join(directory === '' ? '.' : directory, 'tcpdump');
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  throw new OperatorError(
    'UNSUPPORTED',
    '--verbose prints packets through tcpdump, which is missing: apt install tcpdump',
  );
}

const COMPLAINTS_MAX = 5;

/** What tcpdump says on standard error, but for its greeting; `opened` resolves when it reads, or has ended. */
function listen(child: ChildProcess): { complaints: string[]; opened: Promise<void> } {
  const complaints: string[] = [];
  let rest = '';
  let isOpen = (): void => {};
  const opened = new Promise<void>((resolve) => {
    isOpen = resolve;
  });
  child.once('close', () => isOpen());
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === OPENED) isOpen();
      else if (!line.startsWith('reading from file') && complaints.length < COMPLAINTS_MAX) complaints.push(line);
    }
  });
  return { complaints, opened };
}

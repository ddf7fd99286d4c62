/**
 * A line server of the lab, a program of its own: `node line_server.js '{"port":7000,"log":"file"}'`.
 *
 * A client's line is `ID BYTES`; the answer is the ID, filled up to BYTES, and a line feed. Each line is logged as
 * `[address]:port ID @milliseconds`. A connection that the client half-closes gets its answers before it is closed.
 */
import fs from 'node:fs';
import net from 'node:net';

export interface LineServerSpec {
  readonly port: number;
  readonly log: string;
  /** Speaks first: a line of its own when a client has connected. */
  readonly greets?: boolean;
  /** Every so many-th line of a connection stays unanswered. */
  readonly ignoreEvery?: number;
  /** Milliseconds before each answer. */
  readonly delayMs?: number;
}

class LineSession {
  readonly #socket: net.Socket;
  readonly #spec: LineServerSpec;
  readonly #log: number;
  readonly #from: string;
  readonly #waiting: string[] = [];
  #text = '';
  #lines = 0;
  #isBusy = false;
  #isEnded = false;

  constructor(socket: net.Socket, spec: LineServerSpec, log: number) {
    this.#socket = socket;
    this.#spec = spec;
    this.#log = log;
    this.#from = `[${socket.remoteAddress}]:${socket.remotePort}`;
    socket.setNoDelay(true).setEncoding('latin1');
    socket.on('error', () => {});
    socket.on('data', (text: string) => this.#take(text));
    socket.on('end', () => {
      this.#isEnded = true;
      this.#answer();
    });
    if (spec.greets) socket.write('220 ready\n');
  }

  #take(text: string): void {
    const lines = (this.#text + text).split('\n');
    this.#text = lines.pop()!;
    for (const line of lines) {
      fs.writeSync(this.#log, `${this.#from} ${line} @${Date.now()}\n`);
      this.#lines++;
      if (this.#spec.ignoreEvery && this.#lines % this.#spec.ignoreEvery === 0) continue;
      this.#waiting.push(line);
    }
    this.#answer();
  }

  /** One after the other, each after its delay. */
  #answer(): void {
    if (this.#isBusy) return;
    const line = this.#waiting.shift();
    if (line === undefined) {
      if (this.#isEnded) this.#socket.end();
      return;
    }
    const [id, bytes] = line.split(' ');
    const reply = `${id!.padEnd(Number(bytes) - 1, '.')}\n`;
    const { delayMs } = this.#spec;
    if (!delayMs) {
      this.#socket.write(reply, 'latin1');
      this.#answer();
      return;
    }
    this.#isBusy = true;
    setTimeout(() => {
      this.#isBusy = false;
      this.#socket.write(reply, 'latin1');
      this.#answer();
    }, delayMs);
  }
}

function serve(spec: LineServerSpec): void {
  const log = fs.openSync(spec.log, 'a');
  const options = { allowHalfOpen: true };
  const server = net.createServer(options, (socket) => new LineSession(socket, spec, log));
  server.listen({ port: spec.port, host: '::', backlog: 4096 }, () => process.stdout.write('listening\n'));
}

serve(JSON.parse(process.argv[2]!) as LineServerSpec);

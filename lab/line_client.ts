/**
 * Clients of the line server, a program of its own: `node line_client.js '{"host":"10.0.0.1","port":7000,…}'`. Each
 * connection sends a line, waits for the whole answer, rests, and so on. Prints what it did as one JSON object.
 */
import net from 'node:net';

export interface LineClientSpec {
  readonly host: string;
  readonly port: number;
  readonly seconds: number;
  readonly connections: number;
  /** Milliseconds of rest between an answer and the next line. */
  readonly gapMs: number;
  /** Local addresses, taken in turn. */
  readonly addresses?: readonly string[];
  readonly replyBytes?: number;
  /** Waits for the server's first line. */
  readonly greets?: boolean;
  /** A line goes out in so many pieces, with a rest between them. */
  readonly pieces?: number;
  readonly pieceGapMs?: number;
  /** A connection sends this many lines at once, closes its half, and takes the answers; then comes the next one. */
  readonly halfCloseAfter?: number;
  /** Lines before a connection is closed and another opened. */
  readonly linesMax?: number;
}

export interface LineClientResult {
  readonly lines: number;
  readonly connections: number;
  /** Connections that ended before their last answer. */
  readonly broken: number;
  /** Milliseconds from a line's last byte to its whole answer. */
  readonly p50: number;
  readonly p99: number;
}

const rest = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

class LineClient {
  readonly #spec: LineClientSpec;
  readonly #endMs: number;
  readonly latency: number[] = [];
  connections = 0;
  broken = 0;

  constructor(spec: LineClientSpec) {
    this.#spec = spec;
    this.#endMs = Date.now() + spec.seconds * 1000;
  }

  async run(nth: number): Promise<void> {
    const { addresses } = this.#spec;
    const localAddress = addresses?.[nth % addresses.length];
    for (let turn = 0; Date.now() < this.#endMs; turn++) {
      try {
        await this.#connection(`${nth}.${turn}`, localAddress);
      } catch {
        this.broken++;
        await rest(10);
      }
    }
  }

  async #connection(name: string, localAddress: string | undefined): Promise<void> {
    const { host, port, greets, halfCloseAfter } = this.#spec;
    const socket = net.connect({ host, port, allowHalfOpen: true, ...(localAddress ? { localAddress } : {}) });
    const answers = new Answers(socket);
    try {
      socket.setNoDelay(true);
      await answers.opened;
      this.connections++;
      if (greets) await answers.bytes('220 ready\n'.length);
      if (halfCloseAfter) await this.#halfClose(name, socket, answers, halfCloseAfter);
      else await this.#lines(name, socket, answers);
    } finally {
      socket.destroy();
    }
  }

  async #lines(name: string, socket: net.Socket, answers: Answers): Promise<void> {
    const { linesMax = Number.POSITIVE_INFINITY, gapMs } = this.#spec;
    for (let n = 0; n < linesMax && Date.now() < this.#endMs; n++) {
      await this.#send(socket, this.#line(`${name}.${n}`));
      await this.#taken(answers);
      await rest(gapMs);
    }
    socket.end();
    await answers.ended;
  }

  async #halfClose(name: string, socket: net.Socket, answers: Answers, count: number): Promise<void> {
    const lines = Array.from({ length: count }, (_, n) => this.#line(`${name}.${n}`));
    socket.end(lines.join(''));
    for (let n = 0; n < count; n++) await this.#taken(answers);
    await answers.ended;
    await rest(this.#spec.gapMs);
  }

  #line(id: string): string {
    return `${id} ${this.#spec.replyBytes ?? 40}\n`;
  }

  async #send(socket: net.Socket, line: string): Promise<void> {
    const { pieces = 1, pieceGapMs = 0 } = this.#spec;
    const bytes = Math.ceil(line.length / pieces);
    for (let at = 0; at < line.length; at += bytes) {
      if (at > 0) await rest(pieceGapMs);
      socket.write(line.slice(at, at + bytes));
    }
  }

  async #taken(answers: Answers): Promise<void> {
    const from = performance.now();
    await answers.bytes(this.#spec.replyBytes ?? 40);
    this.latency.push(performance.now() - from);
  }
}

/** What a server has sent and nobody has waited for yet. */
class Answers {
  readonly opened: Promise<void>;
  readonly ended: Promise<void>;
  #bytes = 0;
  #wanted = 0;
  #resolve: () => void = () => {};
  #reject: (error: Error) => void = () => {};
  #error: Error | null = null;

  constructor(socket: net.Socket) {
    this.opened = new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    this.ended = new Promise((resolve) => socket.once('end', resolve).once('close', () => resolve()));
    socket.on('data', (chunk) => {
      this.#bytes += chunk.length;
      if (this.#wanted > 0 && this.#bytes >= this.#wanted) this.#resolve();
    });
    const fail = (): void => {
      this.#error = new Error('the connection has ended');
      this.#reject(this.#error);
    };
    socket.once('error', fail).once('end', fail);
  }

  async bytes(count: number): Promise<void> {
    if (this.#bytes < count) {
      if (this.#error) throw this.#error;
      this.#wanted = count;
      await new Promise<void>((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
      });
      this.#wanted = 0;
    }
    this.#bytes -= count;
  }
}

const spec = JSON.parse(process.argv[2]!) as LineClientSpec;
const client = new LineClient(spec);
await Promise.all(Array.from({ length: spec.connections }, (_, nth) => client.run(nth)));
const sorted = client.latency.sort((a, b) => a - b);
const quantile = (q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
const result: LineClientResult = {
  lines: sorted.length,
  connections: client.connections,
  broken: client.broken,
  p50: quantile(0.5),
  p99: quantile(0.99),
};
process.stdout.write(`${JSON.stringify(result)}\n`);

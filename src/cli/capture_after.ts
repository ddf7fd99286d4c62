/** `-z`: a program that is run on each finished file, beside the capture, as tcpdump does. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BroadcastChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { usage } from './values.ts';

/** Nice value: the capture comes first. */
const NICE = 19;

/** Throws USAGE where there is no such program. */
export function checkProgram(program: string, option: string): void {
  const places = program.includes('/')
    ? [program]
    : (process.env['PATH'] ?? '').split(':').map((folder) => path.join(folder, program));
  if (places.some(isExecutable)) return;
  const isLine = /\s/.test(program);
  const remedy = isLine ? 'it takes a program alone: put its arguments into a script' : 'give its path';
  throw usage(`${option}: there is no program ${program}: ${remedy}`);
}

function isExecutable(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

export class AfterFile {
  readonly #program: string;
  readonly #tell: (line: string) => void;
  readonly #channel: BroadcastChannel;
  readonly #running: Set<Promise<void>> = new Set();

  /** `channel`: the name on which finished files are told. `tell`: hears of a program that fails. */
  constructor(program: string, channel: string, tell: (line: string) => void) {
    this.#program = program;
    this.#tell = tell;
    this.#channel = new BroadcastChannel(channel);
    this.#channel.onmessage = (event: unknown) => this.#run((event as { data: string }).data);
  }

  /** After the capture: resolves when the program has ended on the last file. */
  async end(): Promise<void> {
    for (;;) {
      const message = receiveMessageOnPort(this.#channel as unknown as MessagePort) as { message: string } | undefined;
      if (message === undefined) break;
      this.#run(message.message);
    }
    this.#channel.close();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #run(file: string): void {
    // A group of its own: Ctrl-C ends the capture, not the work on its files. Standard output may be the capture's.
    const child = spawn(this.#program, [file], { detached: true, stdio: ['ignore', 2, 2] });
    try {
      if (child.pid !== undefined) os.setPriority(child.pid, NICE);
    } catch {
      // It has ended already.
    }
    const ended = this.#end(child, file).then(() => void this.#running.delete(ended));
    this.#running.add(ended);
  }

  #end(child: ChildProcess, file: string): Promise<void> {
    return new Promise((resolve) => {
      const failed = (how: string): void => {
        this.#tell(`${this.#program} ${file} ${how}`);
        resolve();
      };
      child.once('error', (error) => failed(`could not be run: ${error.message}`));
      child.once('exit', (status, signal) => {
        if (status === 0) resolve();
        else failed(signal === null ? `ended with status ${status}` : `was ended by ${signal}`);
      });
    });
  }
}

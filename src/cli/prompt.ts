/** `--oneatatime`: asks on standard input how many packets may go. */
import { createInterface, type Interface } from 'node:readline';
import type { Terminal } from './terminal.ts';

export interface Prompt {
  /** Packets that may go now; 0 = no more: the input has ended. */
  ask(packet: number, output: string): Promise<number>;
  close(): void;
}

export function openPrompt(terminal: Terminal, input: NodeJS.ReadableStream): Prompt {
  const waiting: ((line: string | null) => void)[] = [];
  const lines: string[] = [];
  let ended = false;
  const reader: Interface = createInterface({ input, terminal: false });
  reader.on('line', (line) => {
    const next = waiting.shift();
    if (next === undefined) lines.push(line);
    else next(line);
  });
  reader.on('close', () => {
    ended = true;
    for (const next of waiting.splice(0)) next(null);
  });
  const nextLine = (): Promise<string | null> => {
    const line = lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    return ended ? Promise.resolve(null) : new Promise((resolve) => waiting.push(resolve));
  };
  return {
    async ask(packet, output) {
      for (;;) {
        terminal.out(`**** Next packet #${packet} out ${output}.  How many packets do you wish to send? `);
        const line = await nextLine();
        if (line === null) return 0;
        const count = answerOf(line);
        if (count > 0) {
          terminal.out(count === 1 ? sending(packet, output) : `Sending packets ${packet} to ${packet + count - 1}`);
          return count;
        }
        terminal.error('A whole number is needed, or an empty line for one packet.');
      }
    },
    close: () => reader.close(),
  };
}

function sending(packet: number, output: string): string {
  return `Sending packet ${packet} out: ${output}`;
}

/** Empty and 0 are one packet; -1: no number. */
function answerOf(line: string): number {
  const text = line.trim();
  if (text === '' || text === '0') return 1;
  return /^\d{1,9}$/.test(text) ? Number(text) : -1;
}

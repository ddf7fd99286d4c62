/** Long text through the operator's pager when standard output is a terminal. */
import { spawnSync } from 'node:child_process';
import type { Terminal } from './terminal.ts';

export function page(terminal: Terminal, text: string): void {
  if (process.stdout.isTTY) {
    const pager = process.env['PAGER'] ?? 'less';
    const shown = spawnSync('sh', ['-c', pager], { input: text, stdio: ['pipe', 'inherit', 'inherit'] });
    if (shown.status === 0) return;
  }
  terminal.out(text.trimEnd());
}

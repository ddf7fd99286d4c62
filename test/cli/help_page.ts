/** The page of a command in docs/ holds its help text word for word; UPDATE_DOCS=1 writes it there anew. */
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import type { CommandTable } from '../../src/cli/command_line.ts';
import { longHelp } from '../../src/cli/help.ts';
import { packageRoot } from '../structure/repository.ts';

const HELP = /<!-- help -->\n```text\n([\s\S]*?)```\n<!-- \/help -->/;

/** Checks docs/NAME.md; returns its text. */
export function checkHelpPage(t: Test, table: CommandTable): string {
  const file = path.join(packageRoot(), 'docs', `${table.name}.md`);
  const help = longHelp(table);
  if (process.env['UPDATE_DOCS'] === '1') {
    const old = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(
      file,
      old.replace(HELP, () => `<!-- help -->\n\`\`\`text\n${help}\`\`\`\n<!-- /help -->`),
    );
  }
  const text = fs.readFileSync(file, 'utf8');
  t.equal(HELP.exec(text)?.[1], help, 'the help text stands in it word for word (UPDATE_DOCS=1 renews it)');
  return text;
}

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type SourceFile, sourceFile } from './rules.ts';

/** The folder of package.json, found upwards from this file (which runs from `dist`). */
export function packageRoot(): string {
  let dir = path.dirname(fileURLToPath(import.meta.url));
  while (!fs.existsSync(path.join(dir, 'package.json'))) dir = path.dirname(dir);
  return dir;
}

/** Files below `dirs` of the root whose name ends in one of `endings`. */
export function readFiles(root: string, dirs: readonly string[], endings: readonly string[]): SourceFile[] {
  const files: SourceFile[] = [];
  for (const dir of dirs) {
    const full = path.join(root, dir);
    if (!fs.existsSync(full)) continue;
    const names = fs.statSync(full).isFile() ? [''] : (fs.readdirSync(full, { recursive: true }) as string[]);
    for (const name of names.sort()) {
      const file = path.posix.join(dir, name);
      if (file.includes('node_modules') || !endings.some((ending) => file.endsWith(ending))) continue;
      files.push(sourceFile(file, fs.readFileSync(path.join(root, file), 'utf8')));
    }
  }
  return files;
}

interface PackageJson {
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly files?: readonly string[];
  readonly scripts?: Readonly<Record<string, string>>;
}

/** Every file that package.json names must be there (after the build); a command starts with `#!/usr/bin/env node`. */
export function packageViolations(root: string): string[] {
  const settings = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as PackageJson;
  const wrong: string[] = [];
  const need = (file: string, who: string): boolean => {
    const there = fs.existsSync(path.join(root, file));
    if (!there) wrong.push(`package.json: ${who} names ${file}, which does not exist`);
    return there;
  };
  for (const [name, file] of Object.entries(settings.bin ?? {})) {
    if (!need(file, `bin "${name}"`)) continue;
    const first = fs.readFileSync(path.join(root, file), 'utf8').split('\n')[0];
    if (first !== '#!/usr/bin/env node') wrong.push(`${file}: a command starts with #!/usr/bin/env node`);
  }
  for (const [name, target] of Object.entries(settings.exports ?? {})) {
    for (const file of typeof target === 'string' ? [target] : Object.values(target)) need(file, `exports "${name}"`);
  }
  for (const file of settings.files ?? []) need(file, 'files');
  for (const [name, command] of Object.entries(settings.scripts ?? {})) {
    const script = /^node (\S+)/.exec(command)?.[1];
    if (script) need(script, `scripts "${name}"`);
  }
  return wrong;
}

/** Links of a Markdown file to files beside it: each must exist, and its heading as well where one is named. */
export function linkViolations(root: string, file: SourceFile): string[] {
  const wrong: string[] = [];
  const text = file.text.replace(/```[\s\S]*?```/g, (block) => block.replace(/[^\n]/g, ' '));
  for (const match of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    const target = match[1]!;
    if (/^[a-z]+:/.test(target)) continue;
    const [name, anchor] = target.split('#') as [string, string | undefined];
    const full = name === '' ? path.join(root, file.path) : path.join(root, path.dirname(file.path), name);
    const there = fs.existsSync(full);
    if (!there) wrong.push(`${file.path}: the link to ${target} leads nowhere`);
    else if (anchor && full.endsWith('.md') && !anchorsOf(full).has(anchor)) {
      wrong.push(`${file.path}: ${name || 'this file'} has no heading #${anchor}`);
    }
  }
  return wrong;
}

function anchorsOf(file: string): Set<string> {
  const headings = [...fs.readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map((match) => match[1]!);
  return new Set(
    headings.map((each) =>
      each
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  );
}

import path from 'node:path';
import { lineOf } from './mask.ts';
import type { SourceFile } from './rules.ts';

/** Folder of src -> what it may import: folders of src, and packages. What a row does not name is forbidden. */
export const IMPORT_TABLE: Readonly<Record<string, { readonly folders: string[]; readonly packages: string[] }>> = {
  base: { folders: [], packages: [] },
  wire: { folders: ['base'], packages: [] },
  ring: { folders: ['base'], packages: [] },
  sys: { folders: ['base'], packages: ['koffi'] },
  pcap: { folders: ['base', 'wire', 'sys'], packages: [] },
  flow: { folders: ['base', 'wire'], packages: [] },
  rewrite: { folders: ['base', 'wire'], packages: [] },
  device: { folders: ['base', 'wire', 'pcap', 'ring', 'sys'], packages: ['cap', 'raw-socket'] },
  metrics: { folders: ['base', 'ring'], packages: ['prom-client'] },
  capture: { folders: ['base', 'wire', 'pcap', 'flow', 'rewrite', 'ring', 'device'], packages: [] },
  replay: { folders: ['base', 'wire', 'pcap', 'flow', 'rewrite', 'ring', 'device'], packages: [] },
  copy: { folders: ['base', 'wire', 'pcap', 'flow', 'rewrite', 'ring', 'device'], packages: [] },
  cli: {
    folders: 'base wire ring pcap flow rewrite device metrics capture replay copy'.split(' '),
    packages: ['commander', 'picocolors', 'valibot', 'yaml', 'pino', 'uplot'],
  },
  /** src/index.ts, the library's front door. */
  '': { folders: 'base wire pcap flow rewrite device metrics capture replay copy'.split(' '), packages: [] },
};

/** What a file names in `import`, `export … from`, `import()`, `require()` and `new URL(…, import.meta.url)`. */
export function importsOf(file: SourceFile): { readonly name: string; readonly line: number }[] {
  const found: { name: string; line: number }[] = [];
  const pattern = /\bfrom\s*(['"])|\bimport\s*\(?\s*(['"])|\brequire(?:\.resolve)?\s*\(\s*(['"])|\bnew URL\(\s*(['"])/g;
  for (const match of file.code.matchAll(pattern)) {
    const start = match.index + match[0].length;
    const name = file.text.slice(start, file.code.indexOf(match[0].at(-1)!, start));
    found.push({ name, line: lineOf(file.text, start) });
  }
  return found;
}

const folderOf = (file: string): string => (file.split('/').length > 2 ? file.split('/')[1]! : '');

export function importViolations(file: SourceFile): string[] {
  if (!file.path.startsWith('src/')) return [];
  const folder = folderOf(file.path);
  const row = IMPORT_TABLE[folder];
  if (!row) return [`${file.path}: folder src/${folder} is not in the import table`];
  const wrong: string[] = [];
  for (const { name, line } of importsOf(file)) {
    const where = `${file.path}:${line}: src/${folder}`;
    if (name.startsWith('node:')) {
      if (folder === 'base') wrong.push(`${where} may not import ${name}: base imports nothing`);
    } else if (name.startsWith('.')) {
      const target = path.posix.join(path.posix.dirname(file.path), name);
      if (!target.startsWith('src/')) wrong.push(`${where} may not import ${name}: it is outside src`);
      else if (folderOf(target) !== folder && !row.folders.includes(folderOf(target))) {
        wrong.push(`${where} may not import src/${folderOf(target)} (${name})`);
      }
    } else if (!row.packages.includes(name)) {
      wrong.push(`${where} may not import the package ${name}`);
    }
  }
  return wrong;
}

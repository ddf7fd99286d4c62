import t from 'tap';
import { importViolations } from './imports.ts';
import { linkViolations, packageRoot, packageViolations, readFiles } from './repository.ts';
import {
  consoleViolations,
  habitViolations,
  hotViolations,
  isHot,
  machinePathViolations,
  sizeViolations,
} from './rules.ts';

const root = packageRoot();
const sources = readFiles(root, ['src', 'test', 'lab', 'bench', 'scripts'], ['.ts', '.mjs']);
const documents = readFiles(root, ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docs'], ['.md']);
const published = readFiles(
  root,
  ['src', 'lab', 'scripts', 'bench', 'fixtures', 'docs', 'README.md'],
  ['.ts', '.mjs', '.md', '.json'],
);

t.ok(sources.length > 50 && documents.length >= 5, 'the tree is read');
t.same(sources.flatMap(importViolations), [], 'the import table holds');
t.same(sources.flatMap(sizeViolations), [], 'files, functions and lines are short enough');
t.ok(sources.some(isHot), 'hot files are marked');
t.same(sources.flatMap(hotViolations), [], 'hot files are free of what is slow');
t.same(sources.flatMap(consoleViolations), [], 'only src/cli prints, reads argv, exits');
t.same(sources.flatMap(habitViolations), [], 'nothing is left unfinished or left out');
t.same(published.flatMap(machinePathViolations), [], "no paths of somebody's machine");
t.same(packageViolations(root), [], 'package.json names what exists');
t.same(
  documents.flatMap((file) => linkViolations(root, file)),
  [],
  'links of the documents lead somewhere',
);

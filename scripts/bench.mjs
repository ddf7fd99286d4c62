/**
 * `npm run bench`: lists the benchmarks of `bench/`; `npm run bench -- sinks --runs 5`: runs one, with its own options.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { pathWithSbin, root, setup } from './setup.mjs';

/** Name -> first sentence of its header, of every file that is a program: not what others import from `bench`. */
function benchmarks() {
  const dir = path.join(root, 'bench');
  const names = fs.readdirSync(dir).filter((name) => name.endsWith('.ts'));
  const texts = new Map(names.map((name) => [name, fs.readFileSync(path.join(dir, name), 'utf8')]));
  const isImported = (name) => [...texts.values()].some((text) => text.includes(`from './${name}'`));
  return new Map(
    [...texts]
      .filter(([name]) => !isImported(name))
      .map(([name, text]) => {
        const words = (/\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? '').replace(/\n \* ?/g, ' ').trim();
        return [name.replace(/\.ts$/, ''), words.replace(/\. .*$/, '.')];
      }),
  );
}

function main() {
  const [name, ...args] = process.argv.slice(2);
  const known = benchmarks();
  if (!known.has(name)) {
    if (name !== undefined) process.stderr.write(`bench: there is no benchmark "${name}"\n`);
    process.stdout.write('npm run bench -- NAME [options], with one of these names:\n\n');
    for (const [each, about] of known) process.stdout.write(`  ${each.padEnd(10)} ${about}\n`);
    return name === undefined ? 0 : 2;
  }
  const { typeErrors } = setup('test');
  if (typeErrors) {
    process.stderr.write(`${typeErrors}\n`);
    return 1;
  }
  const env = { ...process.env, PATH: pathWithSbin };
  const run = spawnSync(process.execPath, [path.join('dist/bench', `${name}.js`), ...args], {
    cwd: root,
    stdio: 'inherit',
    env,
  });
  return run.status ?? 1;
}

try {
  process.exitCode = main();
} catch (error) {
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 1;
}

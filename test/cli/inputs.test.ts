/** Directories as operands, on a real file system. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { expandInputs } from '../../src/cli/inputs.ts';

/** An empty capture: a header of 24 bytes. */
function pcapHeader(magic: number, littleEndian: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer(24));
  view.setUint32(0, magic, littleEndian);
  view.setUint16(4, 2, littleEndian);
  view.setUint16(6, 4, littleEndian);
  view.setUint32(16, 65_535, littleEndian);
  view.setUint32(20, 1, littleEndian);
  return new Uint8Array(view.buffer);
}

t.test('a directory is every capture below it, and nothing silently less', (t) => {
  const root = t.testdir({ 'b.pcap': '', sub: { deep: {} }, a: {} });
  const put = (path: string, bytes: Uint8Array | string): void => writeFileSync(join(root, path), bytes);
  put('b.pcap', pcapHeader(0xa1b2c3d4, true));
  put('a/ns.pcap', pcapHeader(0xa1b23c4d, false));
  put('a/kuznetsov.cap', pcapHeader(0xa1b2cd34, true));
  put('sub/x.pcapng', new Uint8Array([0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28]));
  put('sub/deep/y.pcap.gz', gzipSync(pcapHeader(0xa1b2c3d4, true)));
  put('sub/deep/z.txt.gz', gzipSync('no capture'));
  put('sub/deep/bad.gz', new Uint8Array([0x1f, 0x8b, 1, 2, 3]));
  put('sub/z.zst', new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0]));
  put('README', 'not a capture');
  put('empty', '');
  mkdirSync(join(root, 'elsewhere'));
  cpSync(join(root, 'b.pcap'), join(root, 'elsewhere', 'c.pcap'));
  symlinkSync('..', join(root, 'sub', 'up'));
  symlinkSync('../elsewhere/c.pcap', join(root, 'sub', 'link.pcap'));
  symlinkSync('nowhere', join(root, 'broken'));
  execFileSync('mkfifo', [join(root, 'fifo')]);
  const under = (names: readonly string[]): string[] => names.map((name) => join(root, name));
  const found = expandInputs([root]);
  t.same(
    found.files,
    under([
      'a/kuznetsov.cap',
      'a/ns.pcap',
      'b.pcap',
      'elsewhere/c.pcap',
      'sub/deep/y.pcap.gz',
      'sub/link.pcap',
      'sub/x.pcapng',
      'sub/z.zst',
    ]),
  );
  t.same(found.warnings, [
    `${root}/README is no pcap or pcapng file: skipped`,
    `${root}/broken cannot be read (no such file): skipped`,
    `${root}/empty is no pcap or pcapng file: skipped`,
    `${root}/fifo is no regular file: skipped`,
    `${root}/sub/deep/bad.gz is no pcap or pcapng file: skipped`,
    `${root}/sub/deep/z.txt.gz is no pcap or pcapng file: skipped`,
    `${root}/sub/up is a link to a directory already walked: skipped`,
  ]);
  t.equal(found.skipped, 7);
  t.same(
    expandInputs([join(root, 'README'), '-', join(root, 'a')]).files,
    [join(root, 'README'), '-', ...under(['a/kuznetsov.cap', 'a/ns.pcap'])],
    'a named file is taken as it is',
  );
  mkdirSync(join(root, 'hollow'));
  t.throws(() => expandInputs([join(root, 'hollow')]), /hollow holds no capture: name a pcap or pcapng file/);
  t.throws(() => expandInputs([join(root, 'nil')]), {
    code: 'FILE',
    message: `${root}/nil cannot be read: no such file`,
  });
  t.end();
});

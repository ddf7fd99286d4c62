import fs from 'node:fs';
import path from 'node:path';
import type { Capture, CaptureOptions } from './capture.ts';
import { type Lab, type LabSpec, makeLab } from './lab.ts';
import { encodePcap, encodePcapng, type PcapFile } from './pcapfile.ts';
import { runProgram } from './process.ts';

/** How a case is stored; tcpdump itself writes little-endian pcap only, the rest is the same packets written anew. */
export interface Storage {
  readonly format: 'pcap' | 'pcapng';
  readonly precision: 'micro' | 'nano';
  readonly bigEndian: boolean;
}

/** One directory of `fixtures/pcaps`: real programs' traffic. */
export interface FixtureCase {
  readonly name: string;
  readonly description: string;
  /** Programs whose versions are written down. */
  readonly programs: readonly string[];
  readonly storage: Storage;
  make(bench: FixtureBench): Promise<Made>;
}

export interface Made {
  readonly interfaces: readonly { readonly name: string; readonly file: PcapFile }[];
  /** What was done to the packets after the capture, where something was. */
  readonly altered?: string;
}

/** What a case works with: labs that are taken down after it, and a record of the commands it ran. */
export class FixtureBench {
  readonly commands: string[] = [];
  readonly #labs: Lab[] = [];

  lab(spec: LabSpec): Lab {
    const lab = makeLab(spec);
    this.#labs.push(lab);
    return lab;
  }

  /** Runs a command in a host and writes it down. A failing command (a refused query) is part of a case. */
  run(lab: Lab, host: string, argv: readonly string[]): void {
    this.commands.push(argv.join(' '));
    lab.host(host).run(argv, { check: false });
  }

  /** Captures an interface while `body` runs. */
  async captured(
    lab: Lab,
    [host, iface]: readonly [string, string],
    body: () => void | Promise<void>,
    options: CaptureOptions = {},
  ): Promise<PcapFile> {
    const file = path.join(lab.directory, `${host}-${iface}-${this.commands.length}.pcap`);
    const capture: Capture = await lab.host(host).capture(iface, file, options);
    await body();
    return capture.finish();
  }

  async close(): Promise<void> {
    for (const lab of this.#labs.splice(0)) await lab.teardown();
  }
}

const VERSION_ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  nginx: ['-v'],
  curl: ['-V'],
  dig: ['-v'],
  ping: ['-V'],
  openssl: ['version'],
  ip: ['-V'],
};

function versionOf(program: string): string {
  const { stdout, stderr } = runProgram([program, ...(VERSION_ARGUMENTS[program] ?? ['--version'])], { check: false });
  return /\d+(\.\d+)+[\w.-]*/.exec(stdout + stderr)?.[0] ?? 'unknown';
}

export interface CaseRecord {
  readonly packets: number;
  readonly bytes: number;
}

/** Makes one case and writes `<dir>/<name>/{in.pcap|in.pcapng,case.json}`. */
export async function makeFixture(fixture: FixtureCase, dir: string): Promise<CaseRecord> {
  const bench = new FixtureBench();
  try {
    const { interfaces, altered } = await fixture.make(bench);
    const stored = interfaces.map(({ name, file }) => ({ name, file: { ...file, ...fixture.storage } }));
    const { format } = fixture.storage;
    const bytes = format === 'pcap' ? encodePcap(stored[0]!.file) : encodePcapng(stored, fixture.description);
    const packets = stored.flatMap(({ file }) => file.packets);
    const record = {
      name: fixture.name,
      description: fixture.description,
      file: `in.${format}`,
      ...fixture.storage,
      linktypes: stored.map(({ file }) => file.linktype),
      packets: packets.length,
      capturedBytes: packets.reduce((sum, packet) => sum + packet.data.length, 0),
      longestPacket: Math.max(...packets.map((packet) => packet.len)),
      programs: Object.fromEntries(['tcpdump', ...fixture.programs].map((name) => [name, versionOf(name)])),
      commands: [...new Set(bench.commands)],
      ...(altered ? { altered } : {}),
    };
    if (packets.length === 0) throw new Error(`${fixture.name}: nothing was captured`);
    const place = path.join(dir, fixture.name);
    fs.rmSync(place, { recursive: true, force: true });
    fs.mkdirSync(place, { recursive: true });
    fs.writeFileSync(path.join(place, record.file), bytes);
    fs.writeFileSync(path.join(place, 'case.json'), `${JSON.stringify(record, null, 2)}\n`);
    return { packets: packets.length, bytes: bytes.length };
  } finally {
    await bench.close();
  }
}

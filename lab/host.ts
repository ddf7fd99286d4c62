import { hasProgram } from './availability.ts';
import { Capture, type CaptureOptions } from './capture.ts';
import { LabProcess, type RunOptions, type RunResult, runProgram } from './process.ts';

export interface InterfaceStatistics {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly rxDropped: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly txDropped: number;
}

interface LinkJson {
  readonly stats64: Record<'rx' | 'tx', { packets: number; bytes: number; dropped: number }>;
}

/** One network namespace, seen as a host. */
export class Host {
  readonly name: string;
  /** Name for `ip netns exec`. */
  readonly netns: string;
  readonly #processes: LabProcess[] = [];

  constructor(name: string, netns: string) {
    this.name = name;
    this.netns = netns;
  }

  /** The command line that runs `argv` in this host. The program dies with the process that starts it. */
  command(argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.netns, 'setpriv', '--pdeathsig', 'KILL', '--', ...argv];
  }

  /** Runs a program in this host to its end. */
  run(argv: readonly string[], options: RunOptions = {}): RunResult {
    return runProgram(this.command(argv), options);
  }

  /** Starts a program in this host; `teardown` of the lab stops it. */
  spawn(argv: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}): LabProcess {
    const started = new LabProcess(this.command(argv), options);
    this.#processes.push(started);
    return started;
  }

  /** Starts `tcpdump -w` on an interface (`any` works too); resolves when it listens. */
  capture(iface: string, file: string, options: CaptureOptions = {}): Promise<Capture> {
    return Capture.start(this, iface, file, options);
  }

  /** The kernel's counters of an interface. */
  statistics(iface: string): InterfaceStatistics {
    const shown = runProgram(['ip', '-n', this.netns, '-j', '-s', 'link', 'show', 'dev', iface]);
    const { rx, tx } = (JSON.parse(shown.stdout) as LinkJson[])[0]!.stats64;
    return {
      rxPackets: rx.packets,
      rxBytes: rx.bytes,
      rxDropped: rx.dropped,
      txPackets: tx.packets,
      txBytes: tx.bytes,
      txDropped: tx.dropped,
    };
  }

  /** Every frame that reaches `iface` is dropped behind the capture tap, before the IP stack. nftables, else tc. */
  dropAtIngress(iface: string): void {
    const made = this.#nftIngress(iface, 'drop');
    if (made.status === 0) return;
    this.run(['tc', 'qdisc', 'add', 'dev', iface, 'clsact']);
    const filter = ['tc', 'filter', 'add', 'dev', iface, 'ingress', 'matchall', 'action', 'drop'];
    const fallback = this.run(filter, { check: false });
    if (fallback.status === 0) return;
    throw new Error(`cannot drop frames on ${iface}: nft: ${made.stderr.trim()}; tc: ${fallback.stderr.trim()}`);
  }

  /** Every `oneIn`-th frame that reaches `iface` is lost, behind the capture tap. */
  loseAtIngress(iface: string, oneIn: number): void {
    const made = this.#nftIngress(iface, 'accept');
    if (made.status !== 0) throw new Error(`cannot lose frames on ${iface}: ${made.stderr.trim()}`);
    const rule = ['netdev', `lab_${iface}`, 'ingress', 'numgen', 'inc', 'mod', String(oneIn), '0', 'drop'];
    this.run(['nft', 'add', 'rule', ...rule]);
  }

  #nftIngress(iface: string, policy: 'accept' | 'drop'): RunResult {
    if (!hasProgram('nft')) return { status: 127, stdout: '', stderr: 'nft is missing: apt-get install nftables' };
    const chain = `type filter hook ingress device "${iface}" priority 0; policy ${policy};`;
    const text = `table netdev lab_${iface} {\nchain ingress {\n${chain}\n}\n}\n`;
    return this.run(['nft', '-f', '-'], { input: text, check: false });
  }

  /** Stops what `spawn` and `capture` started here. */
  async stopAll(): Promise<void> {
    await Promise.all(this.#processes.map((each) => each.stop()));
  }

  killAll(): void {
    for (const each of this.#processes) each.killNow();
  }
}

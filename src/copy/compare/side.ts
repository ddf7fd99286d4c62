/** A worker's part of comparing: set up beside its engine, looked after now and then. */
import { NS_PER_SECOND } from '../../base/units.ts';
import type { IdentityMap } from '../admission.ts';
import type { AgentSpec } from '../agent/spec.ts';
import { Clock, type Core } from '../core.ts';
import { Pairing } from './pairing.ts';
import { ProductionSide } from './production.ts';
import { CompareCount, CompareRow } from './rows.ts';

/** Exchanges that may wait, for each session that there may be: one that is under way, one that has just begun. */
const EXCHANGES_PER_SESSION = 2;
const EXCHANGES_MIN = 1024;
/** As many requests for as many looks without one packet of production mean that its packets go elsewhere. */
const BLIND_EXCHANGES = 20;
const BLIND_LOOKS = 10;
/** What was sent this long before the end has had its time to be answered. */
const GRACE_NS = NS_PER_SECOND;

export class CompareSide {
  readonly production: ProductionSide;
  readonly #core: Core;
  readonly #pairing: Pairing;
  readonly #row: CompareRow;
  readonly #warn: (text: string) => void;
  readonly #isLive: boolean;
  #looks = 0;
  #isBlindTold = false;

  constructor(
    core: Core,
    identities: IdentityMap,
    buffer: SharedArrayBuffer,
    worker: number,
    spec: AgentSpec,
    warn: (text: string) => void,
  ) {
    const { maxSessions } = core.options;
    const exchangesMax = Math.max(EXCHANGES_MIN, maxSessions * EXCHANGES_PER_SESSION);
    this.#core = core;
    this.#row = new CompareRow(buffer, worker);
    this.#pairing = new Pairing(this.#row, core.cells, maxSessions, exchangesMax);
    this.#pairing.verdict.productionScale = spec.packets.kind === 'files' ? spec.packets.multiplier : 1;
    core.pairing = this.#pairing;
    this.production = new ProductionSide(core, identities, this.#pairing, this.#row);
    this.#isLive = spec.packets.kind === 'live';
    this.#warn = warn;
  }

  /** Makes gauges true, and warns once where production's replies are not to be seen. */
  publish(): void {
    const { counts } = this.#row;
    counts[CompareCount.Waiting] = this.#pairing.waiting;
    if (this.#isBlindTold || counts[CompareCount.ProductionPackets]! > 0) return;
    if (counts[CompareCount.MissingProduction]! + this.#pairing.waiting < BLIND_EXCHANGES) return;
    if (++this.#looks >= BLIND_LOOKS) this.#tellBlind();
  }

  #tellBlind(): void {
    this.#isBlindTold = true;
    this.#warn(
      this.#isLive
        ? 'no reply of production was captured, so that nothing is compared: do replies leave by another interface ' +
            'than requests come in by? -i any'
        : 'the capture holds no replies of production: there is nothing to compare with',
    );
  }

  /** Nothing more is captured. */
  ending(): void {
    this.#pairing.ending(this.#core.clock[Clock.Now]! - GRACE_NS);
  }

  /** Judges what is left. */
  finish(): void {
    this.#pairing.finish();
    this.#looks = BLIND_LOOKS;
    this.publish();
  }
}

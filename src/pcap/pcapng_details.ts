/**
 * What a pcapng file says beside its packets: kept only for who asks (`openCapture(path, { details: true })`), so the
 * packet loop pays one comparison for it.
 */
import { type InterfaceBlock, Option, textAt, visitOptions } from './pcapng_format.ts';
import type { CaptureDetails, InterfaceDetails, InterfaceStatistics, SectionDetails } from './reader.ts';

const TWO_32 = 0x1_0000_0000;

export class PcapngDetails implements CaptureDetails {
  readonly sections: SectionDetails[] = [];
  readonly interfaces: InterfaceDetails[] = [];
  readonly statistics: InterfaceStatistics[] = [];
  readonly blocks: Map<number, number> = new Map();
  readonly packetComments: Map<number, readonly string[]> = new Map();

  countBlock(type: number): void {
    this.blocks.set(type, (this.blocks.get(type) ?? 0) + 1);
  }

  /** Options in [from, to) of a section header in front of packet `firstPacket`. */
  section(view: DataView, from: number, to: number, little: boolean, firstPacket: number): void {
    const section = { firstPacket, hardware: '', os: '', application: '', comments: [] as string[] };
    visitOptions(view, from, to, little, (code, at, length) => {
      if (code === Option.Comment) section.comments.push(textAt(view, at, length));
      else if (code === Option.Hardware) section.hardware = textAt(view, at, length);
      else if (code === Option.Os) section.os = textAt(view, at, length);
      else if (code === Option.Application) section.application = textAt(view, at, length);
    });
    this.sections.push(section);
  }

  interface(block: InterfaceBlock): void {
    const { description, filter, os, comments } = block;
    this.interfaces.push({ description, filter, os, comments });
  }

  /** An interface statistics block [at, end) about interface `interfaceIndex` of the whole file. */
  statisticsBlock(view: DataView, at: number, end: number, little: boolean, interfaceIndex: number): void {
    const found = { interfaceIndex, received: -1, dropped: -1, acceptedByFilter: -1, droppedByOs: -1, delivered: -1 };
    const comments: string[] = [];
    const counter = (from: number): number => {
      const first = view.getUint32(from, little);
      const second = view.getUint32(from + 4, little);
      return little ? second * TWO_32 + first : first * TWO_32 + second;
    };
    visitOptions(view, at + 20, end - 4, little, (code, from, length) => {
      if (code === Option.Comment) comments.push(textAt(view, from, length));
      if (length < 8) return;
      if (code === Option.ReceivedByInterface) found.received = counter(from);
      else if (code === Option.DroppedByInterface) found.dropped = counter(from);
      else if (code === Option.AcceptedByFilter) found.acceptedByFilter = counter(from);
      else if (code === Option.DroppedByOs) found.droppedByOs = counter(from);
      else if (code === Option.DeliveredToUser) found.delivered = counter(from);
    });
    this.statistics.push({ ...found, comments });
  }

  /** Options in [from, to) of packet `number`. */
  packet(view: DataView, from: number, to: number, little: boolean, number: number): void {
    const comments: string[] = [];
    visitOptions(view, from, to, little, (code, at, length) => {
      if (code === Option.Comment) comments.push(textAt(view, at, length));
    });
    if (comments.length > 0) this.packetComments.set(number, comments);
  }
}

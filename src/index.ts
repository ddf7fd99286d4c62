/** tsreplay as a library: what each of its folders offers, under the folder's name. */
export * as device from './device/index.ts';
export * as pcap from './pcap/index.ts';
export * as replay from './replay/index.ts';
export * as rewrite from './rewrite/index.ts';
export * as wire from './wire/index.ts';

/** Descriptors of Node's sockets, for what is read and written past their streams. */
import type { Socket } from 'node:net';

/** -1: the socket is closed, or not connected yet. */
export function openDescriptor(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  return handle?.fd ?? -1;
}

/** What may be written to now without overtaking what the stream keeps; -1: nothing, or the stream encrypts. */
export function writableDescriptor(socket: Socket): number {
  return socket.writableLength > 0 || 'encrypted' in socket ? -1 : openDescriptor(socket);
}

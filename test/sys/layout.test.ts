/** Struct layouts, each one written through the kernel and read back. */
import t from 'tap';
import { interfaceFacts } from '../../src/sys/interface.ts';
import * as layout from '../../src/sys/layout.ts';
import { dataAddress, lastErrno } from '../../src/sys/libc.ts';
import { anonymousRegion } from '../../src/sys/memory.ts';
import { hasCapability } from '../../src/sys/permission.ts';
import {
  bindSocket,
  closeSocket,
  interfaceRequest,
  ioctl,
  openSocket,
  pollDescriptor,
  receive,
  sendmmsg,
  sendTo,
  setSocketOption,
  setSocketOptionInt,
  socketName,
  socketOption,
  socketOptionInt,
} from '../../src/sys/socket.ts';

const { AF_INET, AF_INET6, AF_PACKET, LITTLE_ENDIAN, SOCK_DGRAM, SOCK_RAW, SOL_PACKET, SOL_SOCKET } = layout;
const skip = process.platform === 'linux' ? false : 'needs Linux';
const skipRaw = skip || (hasCapability('CAP_NET_RAW') ? false : 'needs root (CAP_NET_RAW)');

/** A datagram socket bound to a port of the loopback address; its address. */
function boundSocket(family: number): { fd: number; address: Uint8Array } {
  const fd = openSocket(family, SOCK_DGRAM, 0, 'a datagram socket');
  const ipv6 = family === AF_INET6;
  const address = new Uint8Array(ipv6 ? layout.SockaddrIn6.SIZE : layout.SockaddrIn.SIZE);
  new DataView(address.buffer).setUint16(layout.SockaddrIn.FAMILY, family, LITTLE_ENDIAN);
  if (ipv6) address[layout.SockaddrIn6.ADDR + 15] = 1;
  else address.set([127, 0, 0, 1], layout.SockaddrIn.ADDR);
  if (bindSocket(fd, address) !== 0) throw new Error(`bind: errno ${lastErrno()}`);
  return { fd, address: socketName(fd)! };
}

t.test('sockaddr_ll: bind, then getsockname', { skip: skipRaw }, (t) => {
  const lo = interfaceFacts('lo')!;
  const fd = openSocket(AF_PACKET, SOCK_RAW, 0, 'a packet socket');
  t.teardown(() => closeSocket(fd));
  const address = new Uint8Array(layout.SockaddrLl.SIZE);
  const view = new DataView(address.buffer);
  view.setUint16(layout.SockaddrLl.FAMILY, AF_PACKET, LITTLE_ENDIAN);
  view.setUint16(layout.SockaddrLl.PROTOCOL, 0x88b5);
  view.setInt32(layout.SockaddrLl.IFINDEX, lo.ifindex, LITTLE_ENDIAN);
  t.equal(bindSocket(fd, address), 0);
  const back = socketName(fd)!;
  const seen = new DataView(back.buffer);
  t.equal(seen.getUint16(layout.SockaddrLl.FAMILY, LITTLE_ENDIAN), AF_PACKET);
  t.equal(seen.getUint16(layout.SockaddrLl.PROTOCOL), 0x88b5);
  t.equal(seen.getInt32(layout.SockaddrLl.IFINDEX, LITTLE_ENDIAN), lo.ifindex);
  t.equal(
    seen.getUint16(layout.SockaddrLl.HATYPE, LITTLE_ENDIAN),
    lo.hardwareType,
    'the kernel adds the hardware type',
  );
  t.equal(seen.getUint8(layout.SockaddrLl.HALEN), 6);
  t.same([...back.subarray(layout.SockaddrLl.ADDR, layout.SockaddrLl.ADDR + 6)], [...lo.mac]);
  view.setInt32(layout.SockaddrLl.IFINDEX, 0x7fff_fff0, LITTLE_ENDIAN);
  t.not(bindSocket(fd, address), 0, 'an interface number that is not there is refused');
  t.end();
});

for (const family of [AF_INET, AF_INET6]) {
  const name = family === AF_INET ? 'sockaddr_in' : 'sockaddr_in6';
  t.test(`${name}, msghdr, mmsghdr, iovec, pollfd: sendmmsg to a bound socket`, { skip }, (t) => {
    const { fd, address } = boundSocket(family);
    const port = new DataView(address.buffer).getUint16(layout.SockaddrIn.PORT);
    t.ok(port > 0, 'the kernel chose a port');
    const sender = openSocket(family, SOCK_DGRAM, 0, 'a sender');
    const memory = anonymousRegion(4096);
    t.teardown(() => {
      closeSocket(fd);
      closeSocket(sender);
      memory.release();
    });
    const texts = ['first', 'second one'];
    const iovecs = 2 * layout.Mmsghdr.SIZE;
    const names = iovecs + 4 * layout.Iovec.SIZE;
    const pointer = (at: number, to: number): void => {
      memory.view.setUint32(at, to >>> 0, LITTLE_ENDIAN);
      memory.view.setUint32(at + 4, Math.floor(to / 2 ** 32), LITTLE_ENDIAN);
    };
    memory.bytes.set(address, names);
    texts.forEach((text, i) => {
      // Each message in two pieces: `first` from two iovecs of 2 and the rest.
      const data = 1024 + i * 256;
      memory.bytes.set(new TextEncoder().encode(text), data);
      const message = i * layout.Mmsghdr.SIZE;
      const iovec = iovecs + i * 2 * layout.Iovec.SIZE;
      pointer(iovec + layout.Iovec.BASE, memory.address + data);
      memory.view.setUint32(iovec + layout.Iovec.LEN, 2, LITTLE_ENDIAN);
      pointer(iovec + layout.Iovec.SIZE + layout.Iovec.BASE, memory.address + data + 2);
      memory.view.setUint32(iovec + layout.Iovec.SIZE + layout.Iovec.LEN, text.length - 2, LITTLE_ENDIAN);
      pointer(message + layout.Msghdr.NAME, memory.address + names);
      memory.view.setUint32(message + layout.Msghdr.NAMELEN, address.length, LITTLE_ENDIAN);
      pointer(message + layout.Msghdr.IOV, memory.address + iovec);
      memory.view.setUint32(message + layout.Msghdr.IOVLEN, 2, LITTLE_ENDIAN);
    });
    t.equal(pollDescriptor(fd, layout.POLLIN, 0), 0, 'nothing to read yet');
    t.equal(sendmmsg(sender, memory.address, 2, 0), 2);
    t.equal(memory.view.getUint32(layout.Mmsghdr.LEN, LITTLE_ENDIAN), texts[0]!.length);
    t.equal(memory.view.getUint32(layout.Mmsghdr.SIZE + layout.Mmsghdr.LEN, LITTLE_ENDIAN), texts[1]!.length);
    t.equal(pollDescriptor(fd, layout.POLLIN, 1000), layout.POLLIN);
    const buffer = new Uint8Array(100);
    for (const text of texts) {
      const bytes = receive(fd, buffer, 0);
      t.equal(new TextDecoder().decode(buffer.subarray(0, bytes)), text);
    }
    t.end();
  });
}

t.test('timeval: SO_RCVTIMEO', { skip }, (t) => {
  const { fd } = boundSocket(AF_INET);
  t.teardown(() => closeSocket(fd));
  const value = new Uint8Array(layout.Timeval.SIZE);
  const view = new DataView(value.buffer);
  view.setUint32(layout.Timeval.SEC, 3, LITTLE_ENDIAN);
  view.setUint32(layout.Timeval.USEC, 500_000, LITTLE_ENDIAN);
  t.equal(setSocketOption(fd, SOL_SOCKET, layout.SO_RCVTIMEO, value), 0);
  t.same(socketOption(fd, SOL_SOCKET, layout.SO_RCVTIMEO, 32), value);
  t.equal(setSocketOptionInt(fd, SOL_SOCKET, layout.SO_SNDBUF, 50_000), 0);
  t.equal(socketOptionInt(fd, SOL_SOCKET, layout.SO_SNDBUF), 100_000, 'the kernel doubles it');
  t.end();
});

t.test('sock_fprog and sock_filter: a filter that keeps four bytes of the second datagram', { skip }, (t) => {
  const { fd, address } = boundSocket(AF_INET);
  const sender = openSocket(AF_INET, SOCK_DGRAM, 0, 'a sender');
  t.teardown(() => {
    closeSocket(fd);
    closeSocket(sender);
  });
  // Length above 12 (8 of them UDP header): keep 12 bytes, else drop.
  const steps = [
    [0x80, 0, 0, 0],
    [0x25, 0, 1, 12],
    [0x06, 0, 0, 12],
    [0x06, 0, 0, 0],
  ] as const;
  const program = new Uint8Array(new ArrayBuffer(steps.length * layout.SockFilter.SIZE));
  const view = new DataView(program.buffer);
  steps.forEach(([code, jt, jf, k], i) => {
    view.setUint16(i * 8 + layout.SockFilter.CODE, code, LITTLE_ENDIAN);
    view.setUint8(i * 8 + layout.SockFilter.JT, jt);
    view.setUint8(i * 8 + layout.SockFilter.JF, jf);
    view.setUint32(i * 8 + layout.SockFilter.K, k, LITTLE_ENDIAN);
  });
  const fprog = new Uint8Array(layout.SockFprog.SIZE);
  const fprogView = new DataView(fprog.buffer);
  fprogView.setUint16(layout.SockFprog.LEN, steps.length, LITTLE_ENDIAN);
  const at = dataAddress(program);
  fprogView.setUint32(layout.SockFprog.FILTER, at >>> 0, LITTLE_ENDIAN);
  fprogView.setUint32(layout.SockFprog.FILTER + 4, Math.floor(at / 2 ** 32), LITTLE_ENDIAN);
  t.equal(setSocketOption(fd, SOL_SOCKET, layout.SO_ATTACH_FILTER, fprog), 0);
  sendTo(sender, new TextEncoder().encode('abc'), 0, address);
  sendTo(sender, new TextEncoder().encode('abcdefgh'), 0, address);
  const buffer = new Uint8Array(100);
  t.equal(receive(fd, buffer, 0), 4, 'the short one was dropped, the long one cut');
  t.equal(receive(fd, buffer, layout.MSG_DONTWAIT), -1);
  t.end();
});

t.test('ifreq: the loopback interface', { skip }, (t) => {
  const fd = openSocket(AF_INET, SOCK_DGRAM, 0, 'a control socket');
  t.teardown(() => closeSocket(fd));
  const request = interfaceRequest('lo');
  t.ok(ioctl(fd, layout.SIOCGIFFLAGS, request) >= 0);
  const flags = new DataView(request.buffer).getUint16(layout.Ifreq.VALUE, LITTLE_ENDIAN);
  t.ok((flags & layout.IFF_LOOPBACK) !== 0);
  t.ok(ioctl(fd, layout.SIOCGIFFLAGS, interfaceRequest('nosuchif0')) < 0);
  t.end();
});

t.test('PACKET_QDISC_BYPASS and PACKET_VERSION read back', { skip: skipRaw }, (t) => {
  const fd = openSocket(AF_PACKET, SOCK_RAW, 0, 'a packet socket');
  t.teardown(() => closeSocket(fd));
  t.equal(socketOptionInt(fd, SOL_PACKET, layout.PACKET_QDISC_BYPASS), 0);
  t.equal(setSocketOptionInt(fd, SOL_PACKET, layout.PACKET_QDISC_BYPASS, 1), 0);
  t.equal(socketOptionInt(fd, SOL_PACKET, layout.PACKET_QDISC_BYPASS), 1);
  t.equal(setSocketOptionInt(fd, SOL_PACKET, layout.PACKET_VERSION, layout.TPACKET_V3), 0);
  t.equal(socketOptionInt(fd, SOL_PACKET, layout.PACKET_VERSION), layout.TPACKET_V3);
  const ring = new Uint8Array(layout.TpacketReq3.SIZE);
  const view = new DataView(ring.buffer);
  view.setUint32(layout.TpacketReq3.BLOCK_SIZE, 65_536, LITTLE_ENDIAN);
  view.setUint32(layout.TpacketReq3.BLOCK_NR, 2, LITTLE_ENDIAN);
  view.setUint32(layout.TpacketReq3.FRAME_SIZE, 2048, LITTLE_ENDIAN);
  view.setUint32(layout.TpacketReq3.FRAME_NR, 63, LITTLE_ENDIAN);
  t.not(setSocketOption(fd, SOL_PACKET, layout.PACKET_RX_RING, ring), 0, 'frames must fill the blocks');
  view.setUint32(layout.TpacketReq3.FRAME_NR, 64, LITTLE_ENDIAN);
  t.equal(setSocketOption(fd, SOL_PACKET, layout.PACKET_RX_RING, ring), 0);
  t.equal(socketOption(fd, SOL_PACKET, layout.PACKET_STATISTICS, 64)!.length, layout.TpacketStats.SIZE);
  t.end();
});

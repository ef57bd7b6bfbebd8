/** A SOCKS5 client's messages, right and wrong ones alike. Strings are Latin-1. */

export function greeting(...methods: number[]): Buffer {
  return Buffer.from([5, methods.length, ...methods]);
}

export function login(user: string, password: string): Buffer {
  return Buffer.concat([Buffer.from([1]), counted(user), counted(password)]);
}

/** CONNECT. @param address a name, or the bytes of an address */
export function command(address: string | readonly number[] | Buffer, port: number): Buffer {
  const bytes = typeof address === "string" ? counted(address) : Buffer.from(address);
  const type = typeof address === "string" ? 3 : bytes.length === 4 ? 1 : 4;
  return Buffer.concat([Buffer.from([5, 1, 0, type]), bytes, Buffer.from([port >> 8, port & 0xff])]);
}

function counted(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

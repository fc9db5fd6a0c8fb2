// Reads the message of pagingviz/boards/payload.py (the layout is written there).

/**
 * bytes -> {header, frames}. A frame is the header's record of it plus `grids`, one a board:
 * {index: null, value: Uint16Array(w*h)} for the key frame, {index: Uint32Array, value: Uint16Array} for what changed.
 */
export function decode(data) {
  let bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
  if (bytes.byteOffset % 4) bytes = bytes.slice(); // typed arrays need aligned words
  const { buffer, byteOffset, byteLength } = bytes;
  let at = 0;
  const take = (Type, count) => {
    if (at + Type.BYTES_PER_ELEMENT * count > byteLength) throw new RangeError("board payload ends too early");
    const part = new Type(buffer, byteOffset + at, count);
    at = (at + part.byteLength + 3) & ~3;
    return part;
  };
  const length = take(Uint32Array, 1)[0];
  const header = JSON.parse(new TextDecoder().decode(take(Uint8Array, length)));
  const frames = header.frames.map((record, f) => ({
    ...record,
    grids: header.boards.map((board) => {
      if (f === 0) return { index: null, value: take(Uint16Array, board.w * board.h) };
      const count = take(Uint32Array, 1)[0];
      return { index: take(Uint32Array, count), value: take(Uint16Array, count) };
    }),
  }));
  return { header, frames };
}

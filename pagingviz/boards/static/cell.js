// Reads the 16-bit word of a cell. What its bits and letters mean is written in pagingviz/boards/palette.py and comes with every
// message as the header's "codes"; nothing of it is repeated here.

export class CellReader {
  /** `codes` of the header. The flags `pinned`, `crossed` and `changed` are masks, `absent`, `free` and `blank` fill codes. */
  constructor(codes) {
    const { pinned, crossed, changed, absent, free, blank } = codes;
    Object.assign(this, { codes, pinned, crossed, changed, absent, free, blank });
  }

  /** The fill code of a word. */
  fillOf(word) {
    return word & this.codes.fill_mask;
  }

  /** The letter of a word; "?" for an index that no letter has. */
  letterOf(word) {
    return this.codes.letters[(word >> this.codes.letter_shift) & this.codes.letter_mask] ?? "?";
  }

  /** What is written about a cell of this fill code when no entry of the legend fits. */
  unnamed(code) {
    const { words, age_youngest } = this.codes;
    return code >= age_youngest ? words.in_use : words.absent;
  }

  /** A word's flags in words; `flagWords` of the board: what a thick edge and what an outline mean there. */
  notesOf(word, [thick, outlined]) {
    const notes = [[this.pinned, thick], [this.crossed, this.codes.words.crossed], [this.changed, outlined]];
    return notes.filter(([bit]) => word & bit).map(([, text]) => text);
  }
}

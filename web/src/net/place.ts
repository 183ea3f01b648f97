// How far a reader of the events has got, so that a connection after this one can go on behind it. Pure.

export class Place {
  private epoch = "";
  private last = 0; // the number of the last frame; 0: of a snapshot not all has come, and nothing can be gone on behind
  private reader = ""; // who has read it: others have other frames

  hello(epoch: string, resumed: boolean, reader: string): void {
    if (!resumed || epoch !== this.epoch || reader !== this.reader) this.last = 0;
    this.epoch = epoch;
    this.reader = reader;
  }

  // `id` as the stream has it: empty of a frame without a number.
  frame(id: string): void {
    if (/^[1-9]\d{0,14}$/.test(id)) this.last = Number(id);
  }

  // What a new connection asks with; empty: for all of it.
  since(reader: string): string {
    return this.last > 0 && reader === this.reader ? `&since=${this.epoch}-${this.last}` : "";
  }

  forget(): void {
    this.last = 0;
  }
}

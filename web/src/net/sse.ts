// Server-sent events out of a body that comes in pieces. Pure; a piece may end anywhere, also inside a character that
// the decoder has put together before.

export interface SseEvent {
  event: string; // "message" where the stream names none
  data: string;
  id: string; // of this event; empty where it has none
  comment: string; // of lines that begin with ':'; then there is no data
}

const kLongestEvent = 32 << 20;

export class SseReader {
  private rest = "";
  private event = "";
  private id = "";
  private data: string[] = [];
  private size = 0;

  // The events that are complete now. Throws when one is longer than any that the daemon sends.
  take(piece: string): SseEvent[] {
    const events: SseEvent[] = [];
    const lines = (this.rest + piece).split("\n");
    this.rest = lines.pop() ?? "";
    for (const whole of lines) this.line(whole.endsWith("\r") ? whole.slice(0, -1) : whole, events);
    if (this.size + this.rest.length > kLongestEvent) throw new Error("an event is longer than 32 MiB");
    return events;
  }

  private line(line: string, events: SseEvent[]): void {
    if (line === "") {
      if (this.data.length > 0) events.push({ event: this.event || "message", data: this.data.join("\n"), id: this.id, comment: "" });
      this.event = "";
      this.id = "";
      this.data = [];
      this.size = 0;
      return;
    }
    if (line.startsWith(":")) {
      events.push({ event: "", data: "", id: "", comment: line.slice(1).trim() });
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") this.event = value;
    if (field === "id") this.id = value;
    if (field === "data") {
      this.data.push(value);
      this.size += value.length;
    }
  }
}

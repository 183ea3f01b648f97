// One question at a time, of which only the newest counts. Without a pause before it: what is asked while an answer is on
// its way is asked once that is there, and what was asked in between never is.
export class Latest<Question> {
  private asking = false;
  private next: { question: Question } | null = null;
  private ended = false;

  constructor(private readonly ask: (question: Question) => Promise<void>) {}

  put(question: Question): void {
    this.next = { question };
    if (!this.asking) void this.run();
  }

  // The answer that is on its way is the last.
  end(): void {
    this.ended = true;
    this.next = null;
  }

  private async run(): Promise<void> {
    this.asking = true;
    while (this.next && !this.ended) {
      const { question } = this.next;
      this.next = null;
      await this.ask(question).catch(() => undefined);
    }
    this.asking = false;
  }
}

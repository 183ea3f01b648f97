// Lines over the colour of a model, so that models differ for those, too, to whom two colours are the same. They go
// along the time: the narrow blocks of a busy model show them together.
export const kPatterns = 4; // the first is plain; the style sheet has the same for letters

const kTile = 8;
const kLines: readonly (readonly number[])[] = [[], [0, 4], [0, 1], [0, 1, 2, 3]]; // of each tile's eight pixels

const made = new WeakMap<CanvasRenderingContext2D, (CanvasPattern | null)[]>();

// Null: this colour's is plain.
export function patternIn(context: CanvasRenderingContext2D, colour: number): CanvasPattern | null {
  const index = colour % kPatterns;
  if (index === 0) return null;
  let known = made.get(context);
  if (!known) made.set(context, (known = []));
  if (known[index] === undefined) {
    const tile = document.createElement("canvas");
    tile.width = 1;
    tile.height = kTile;
    const drawn = tile.getContext("2d");
    if (drawn) {
      drawn.fillStyle = "rgba(0,0,0,.26)";
      for (const line of kLines[index] ?? []) drawn.fillRect(0, line, 1, 1);
    }
    known[index] = context.createPattern(tile, "repeat");
  }
  return known[index] ?? null;
}

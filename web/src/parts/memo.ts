// A component that is drawn again only when one of its properties is another object or value.
import { Component, h, type ComponentType, type VNode } from "preact";

export function memo<P extends object>(view: (props: P) => VNode): ComponentType<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const before = this.props as Record<string, unknown>;
      const after = next as Record<string, unknown>;
      return Object.keys(after).some((key) => key !== "children" && before[key] !== after[key]);
    }
    override render(): VNode {
      return h(view as ComponentType<P>, this.props as P & { children?: never }) as VNode;
    }
  };
}

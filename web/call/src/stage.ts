import type { Source } from "./call.ts";
import { el } from "./dom.ts";
import { Tile } from "./tile.ts";

/** The tiles, as a grid or with one large. */
export class Stage {
    readonly root = el("main", { class: "stage grid", "aria-label": "Participants" });
    private readonly tiles = new Map<string, Tile>();
    private order: Source[] = [];
    private speakerView = false;
    private pinned?: string;
    private loudest?: string;

    /** Shows these sources; tiles that stay keep their place and their video element. */
    show(sources: Source[]): void {
        this.order = sources;
        const present = new Set(sources.map((s) => s.key));
        for (const [key, tile] of this.tiles) {
            if (present.has(key)) continue;
            tile.remove();
            this.tiles.delete(key);
        }
        for (const source of sources) {
            let tile = this.tiles.get(source.key);
            if (!tile) {
                tile = new Tile(() => this.pin(source.key));
                this.tiles.set(source.key, tile);
                this.root.append(tile.root);
            }
            tile.show(source);
        }
        const talking = sources.find((s) => s.speaking && !s.self);
        if (talking) this.loudest = talking.key;
        this.layout();
    }

    toggleView(): boolean {
        this.speakerView = !this.speakerView;
        this.layout();
        return this.speakerView;
    }

    statsOf(key: string): HTMLElement | undefined {
        return this.tiles.get(key)?.stats;
    }

    private pin(key: string): void {
        if (this.speakerView && this.pinned === key) this.pinned = undefined;
        else {
            this.pinned = key;
            this.speakerView = true;
        }
        this.layout();
    }

    private layout(): void {
        const large = this.speakerView ? this.large() : undefined;
        this.root.classList.toggle("grid", large === undefined);
        this.root.classList.toggle("speaker", large !== undefined);
        for (const [key, tile] of this.tiles) tile.root.classList.toggle("large", key === large);
        const columns = Math.ceil(Math.sqrt(this.tiles.size));
        this.root.style.setProperty("--columns", String(Math.max(1, columns)));
        this.root.dataset.count = String(this.tiles.size);
    }

    private large(): string | undefined {
        const has = (key: string | undefined): key is string => key !== undefined && this.tiles.has(key);
        if (has(this.pinned)) return this.pinned;
        const screen = this.order.find((s) => s.screen);
        if (screen) return screen.key;
        return has(this.loudest) ? this.loudest : (this.order.find((s) => !s.self) ?? this.order[0])?.key;
    }
}

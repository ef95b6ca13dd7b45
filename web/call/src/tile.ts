import { ConnectionQuality, Track } from "livekit-client";
import type { Source } from "./call.ts";
import { el } from "./dom.ts";

/** What is said of a connection; nothing of one that is good. */
const qualityWords: Partial<Record<ConnectionQuality, string>> = {
    [ConnectionQuality.Poor]: " · poor connection",
    [ConnectionQuality.Lost]: " · connection lost",
};

/** The picture of one source: video, name, and what is to say about it. */
export class Tile {
    readonly root: HTMLElement;
    private readonly video = el("video", { autoplay: true, playsinline: true, muted: true });
    private readonly audio = el("audio", { autoplay: true });
    private readonly label = el("span", { class: "name" });
    private readonly lock = el("span", { class: "lock", role: "img", "aria-label": "End-to-end encrypted", title: "End-to-end encrypted" });
    private readonly notice = el("p", { class: "notice", role: "status" });
    private readonly avatar = el("div", { class: "avatar", "aria-hidden": "true" });
    readonly stats = el("pre", { class: "stats" });
    private shownVideo?: Track;
    private heardAudio?: Track;

    constructor(onSelect: () => void) {
        this.root = el(
            "article",
            {
                class: "tile",
                tabindex: "0",
                onclick: onSelect,
                onkeydown: (event) => {
                    if ((event as KeyboardEvent).key === "Enter") onSelect();
                },
            },
            this.avatar,
            this.video,
            this.notice,
            this.stats,
            el("footer", {}, this.lock, this.label),
            this.audio,
        );
    }

    show(source: Source): void {
        this.root.dataset.key = source.key;
        this.root.dataset.identity = source.participant.identity;
        this.root.classList.toggle("speaking", source.speaking);
        this.root.classList.toggle("screen", source.screen);
        this.root.classList.toggle("mirror", source.self && !source.screen);
        this.root.setAttribute("aria-label", source.screen ? `${source.name}'s screen` : source.name);
        const muted = source.audio === undefined || source.audio.isMuted;
        this.label.textContent = `${source.name}${source.self ? " (you)" : ""}${source.screen ? " · screen" : ""}${qualityWords[source.participant.connectionQuality] ?? ""}`;
        this.label.classList.toggle("muted", muted && !source.screen);
        this.label.title = muted ? "Microphone off" : "";
        this.avatar.textContent = [...source.name.replace(/^@/, "")][0]?.toUpperCase() ?? "?";
        this.lock.hidden = !source.encrypted;
        this.notice.textContent = source.closed;
        this.shownVideo = swap(this.shownVideo, source.video?.isMuted ? undefined : source.video?.track, this.video);
        this.heardAudio = swap(this.heardAudio, source.self ? undefined : source.audio?.track, this.audio);
        this.root.classList.toggle("dark", this.shownVideo === undefined || source.closed !== "");
    }

    remove(): void {
        this.shownVideo = swap(this.shownVideo, undefined, this.video);
        this.heardAudio = swap(this.heardAudio, undefined, this.audio);
        this.root.remove();
    }
}

/** Attaches what is to be played to an element; the track's own bookkeeping drives adaptive stream. */
function swap(old: Track | undefined, next: Track | undefined, element: HTMLMediaElement): Track | undefined {
    if (old === next) return old;
    old?.detach(element);
    next?.attach(element);
    if (next?.kind === Track.Kind.Video) element.muted = true;
    return next;
}

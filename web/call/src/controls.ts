import { Room as CallRoom } from "livekit-client";
import { el, reason } from "./dom.ts";

/** What the buttons outside the media do. */
export interface ControlActions {
    toggleView(): boolean;
    toggleStats(): boolean;
    leave(): void;
    warn(text: string): void;
}

/** The bar at the bottom: microphone, camera, screen, devices, view, stats, leave. */
export class Controls {
    readonly root = el("nav", { class: "controls", "aria-label": "Call controls" });
    private readonly microphone: HTMLButtonElement;
    private readonly camera: HTMLButtonElement;
    private readonly screen: HTMLButtonElement;

    constructor(
        private readonly room: CallRoom,
        private readonly actions: ControlActions,
    ) {
        const local = room.localParticipant;
        this.microphone = this.toggle("microphone", "Microphone", "m", () =>
            local.setMicrophoneEnabled(!local.isMicrophoneEnabled),
        );
        this.camera = this.toggle("camera", "Camera", "c", () => local.setCameraEnabled(!local.isCameraEnabled));
        this.screen = this.toggle("screen", "Share screen", "s", () =>
            local.setScreenShareEnabled(!local.isScreenShareEnabled, { audio: true }),
        );
        const view = this.button("view", "Speaker view", () => press(view, actions.toggleView()));
        const stats = this.button("stats-button", "Stats", () => press(stats, actions.toggleStats()));
        const leave = this.button("leave", "Leave", () => actions.leave());
        this.root.append(
            this.microphone,
            this.camera,
            this.screen,
            this.devices("audioinput", "Microphone to use"),
            this.devices("videoinput", "Camera to use"),
            this.devices("audiooutput", "Speaker to use"),
            view,
            stats,
            leave,
        );
        this.refresh();
    }

    /** Shows what is on. */
    refresh(): void {
        const local = this.room.localParticipant;
        press(this.microphone, local.isMicrophoneEnabled);
        press(this.camera, local.isCameraEnabled);
        press(this.screen, local.isScreenShareEnabled);
    }

    private button(id: string, text: string, act: () => void): HTMLButtonElement {
        return el("button", { id, type: "button", onclick: act }, text);
    }

    private toggle(id: string, text: string, key: string, act: () => Promise<unknown>): HTMLButtonElement {
        const run = async (): Promise<void> => {
            button.disabled = true;
            try {
                await act();
            } catch (error) {
                this.actions.warn(`${text}: ${reason(error)}`);
            }
            button.disabled = false;
            this.refresh();
        };
        const button = this.button(id, text, () => void run());
        button.title = `${text} (${key})`;
        button.setAttribute("aria-keyshortcuts", key);
        document.addEventListener("keydown", (event) => {
            const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
            if (event.key === key && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) void run();
        });
        return button;
    }

    private devices(kind: MediaDeviceKind, text: string): HTMLSelectElement {
        const select = el("select", { "aria-label": text, class: "devices" });
        const fill = async (): Promise<void> => {
            const list = await CallRoom.getLocalDevices(kind, false).catch(() => []);
            const active = this.room.getActiveDevice(kind);
            select.replaceChildren(
                ...list.map((d) =>
                    el("option", { value: d.deviceId, selected: d.deviceId === active }, d.label || text),
                ),
            );
            select.hidden = list.length < 2;
        };
        select.addEventListener("change", () => {
            this.room.switchActiveDevice(kind, select.value).catch((error) => this.actions.warn(reason(error)));
        });
        navigator.mediaDevices?.addEventListener("devicechange", () => void fill());
        void fill();
        return select;
    }
}

function press(button: HTMLButtonElement, on: boolean): void {
    button.setAttribute("aria-pressed", String(on));
}

import type { MatrixClient } from "matrix-js-sdk";

/** A MatrixRTC transport of type livekit (MSC4195). */
export interface Transport {
    type: "livekit";
    livekit_service_url: string;
}

/** What a token door gives: where to connect and with which token. */
export interface Ticket {
    url: string;
    jwt: string;
}

const transportsKey = "org.matrix.msc4143.rtc_foci";

/** The transport to publish on: the homeserver's list, its well-known, then the one that served this page. */
export async function ownTransport(client: MatrixClient, fallback?: string): Promise<Transport> {
    for (const list of [fromHomeserver, fromWellKnown]) {
        const offered: Partial<Transport>[] = await list(client).catch(() => []);
        const found = offered.find(usable);
        if (found) return { type: "livekit", livekit_service_url: found.livekit_service_url };
    }
    const url = fallback ?? new URL("../", document.baseURI).href.replace(/\/$/, "");
    return { type: "livekit", livekit_service_url: url };
}

function usable(t: Partial<Transport>): t is Transport {
    return t.type === "livekit" && typeof t.livekit_service_url === "string";
}

async function fromHomeserver(client: MatrixClient): Promise<Partial<Transport>[]> {
    return (await client._unstable_getRTCTransports()) as Partial<Transport>[];
}

async function fromWellKnown(client: MatrixClient): Promise<Partial<Transport>[]> {
    const answer = await fetch(`https://${client.getDomain()}/.well-known/matrix/client`);
    const body = (await answer.json()) as Record<string, unknown>;
    return (body[transportsKey] as Partial<Transport>[]) ?? [];
}

/** Asks the token door of a service (`/sfu/get`), proving who we are by an OpenID token of our homeserver. */
export async function askToken(client: MatrixClient, service: string, room: string): Promise<Ticket> {
    const openid_token = await client.getOpenIdToken();
    const answer = await fetch(`${service.replace(/\/+$/, "")}/sfu/get`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ room, openid_token, device_id: client.getDeviceId() }),
    });
    const body = (await answer.json().catch(() => ({}))) as Partial<Ticket> & { error?: string };
    if (!answer.ok || !body.url || !body.jwt) {
        throw new Error(`The focus refused the call: ${body.error ?? `status ${answer.status}`}`);
    }
    return { url: body.url, jwt: body.jwt };
}

type Attributes = Record<string, string | boolean | EventListener>;

/** Makes an element: `on…` keys are listeners, true sets a bare attribute, false leaves it out. */
export function el<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    attributes: Attributes = {},
    ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
        if (typeof value === "function") node.addEventListener(key.slice(2), value);
        else if (value === true) node.setAttribute(key, "");
        else if (value !== false) node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
}

/** The text of an error, fit to show. */
export function reason(error: unknown): string {
    return error instanceof Error ? error.message : String(error);
}

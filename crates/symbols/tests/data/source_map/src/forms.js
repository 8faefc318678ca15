import { note } from "./note.js";

export function declaredFunction(howDeep) {
  note("declaredFunction");
  if (howDeep > 0) declaredFunction(howDeep - 1);
}

export const arrowOfTwo = (firstValue, secondValue) => {
  note("arrowOfTwo");
  return firstValue + secondValue;
};

export const arrowOfOne = async (onlyValue) => {
  note("arrowOfOne");
  return onlyValue * 2;
};

export const expression = function (someValue) {
  note("expression");
  return someValue;
};

export class ShoppingCart {
  storedItems = [];

  constructor(ownerName) {
    note("constructor");
    this.ownerName = ownerName;
  }

  addOneItem(itemName) {
    note("addOneItem");
    this.storedItems.push(itemName + this.ownerName);
  }

  get numberOfItems() {
    note("numberOfItems");
    return this.storedItems.length;
  }

  static createDefault() {
    note("createDefault");
    return new ShoppingCart("nobody");
  }

  *everyItem() {
    note("everyItem");
    yield* this.storedItems;
  }

  async payLater() {
    await null;
    note("payLater");
  }

  fieldOfArrow = (unit) => {
    note("fieldOfArrow");
    return unit;
  };
}

export const methods = {
  shortMethod(text) {
    note("shortMethod");
    return text;
  },
  propertyOfArrow: (text) => {
    note("propertyOfArrow");
    return text;
  },
};

import { arrowOfOne, arrowOfTwo, declaredFunction, expression, methods, ShoppingCart } from "./forms.js";
import { note } from "./note.js";

function outerFunction(howOften) {
  function innerFunction(whichTime) {
    note("innerFunction");
    [whichTime].forEach((eachElement) => {
      note("callback");
      return eachElement;
    });
  }
  for (let i = 0; i < howOften; i++) innerFunction(i);
}

async function asyncFunction() {
  await null;
  note("asyncFunction");
}

async function runEverything() {
  // Columns count halves of characters.
  const text = "😀😀 äöü"; note("behindText"); declaredFunction(2);
  arrowOfTwo(1, 2);
  await arrowOfOne(3);
  expression(text);
  const cart = ShoppingCart.createDefault();
  cart.addOneItem("apple");
  cart.fieldOfArrow([cart.numberOfItems, ...cart.everyItem()]);
  await cart.payLater();
  methods.shortMethod("a");
  methods.propertyOfArrow("b");
  outerFunction(1);
  await asyncFunction();
}

globalThis.finished = runEverything();
